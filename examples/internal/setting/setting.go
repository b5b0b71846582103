// Package setting checks the values that the examples take from flags and
// environment variables. A value that is not allowed is an *Error, which names
// the setting, the value and what is allowed; nothing is silently replaced by
// a default except an empty value.
package setting

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Error says that a setting has a value that is not allowed.
type Error struct {
	// Name is the environment variable or flag.
	Name string
	// Value is what it was set to, without any password.
	Value string
	// Allowed completes the sentence "must be …".
	Allowed string
}

// Error names the setting, the value and what is allowed.
func (e *Error) Error() string {
	return fmt.Sprintf("%s=%q: must be %s", e.Name, e.Value, e.Allowed)
}

// OneOf checks that value is one of allowed.
func OneOf(name, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return &Error{Name: name, Value: value, Allowed: "one of " + strings.Join(allowed, ", ")}
}

// Int parses a whole number from least to most.
func Int(name, value string, least, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, &Error{Name: name, Value: value, Allowed: fmt.Sprintf("a whole number from %d to %d", least, most)}
	}
	return n, nil
}

// Addresses parses a list of host:port, separated by commas; an empty value is
// an empty list.
func Addresses(name, value string) ([]string, error) {
	if value == "" {
		return nil, nil
	}
	addresses := strings.Split(value, ",")
	for i, address := range addresses {
		addresses[i] = strings.TrimSpace(address)
		if !isAddress(addresses[i]) {
			return nil, &Error{Name: name, Value: value, Allowed: "host:port, or several separated by commas"}
		}
	}
	return addresses, nil
}

// Address parses one host:port.
func Address(name, value string) (string, error) {
	if !isAddress(value) {
		return "", &Error{Name: name, Value: value, Allowed: "host:port"}
	}
	return value, nil
}

func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
