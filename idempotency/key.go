package idempotency

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxKeyLength is the greatest length of a key, in bytes.
const MaxKeyLength = 255

// ErrInvalidKey is what every [*KeyError] is, by errors.Is.
var ErrInvalidKey = errors.New("idempotency: invalid key")

// KeyError says which rule a key breaks. It never repeats the key: what a
// client sent has no business in a server's log.
type KeyError struct {
	// Reason names the rule, ready to be shown to the client.
	Reason string
}

// Error says what is wrong and what is allowed.
func (e *KeyError) Error() string {
	return "idempotency: invalid key: " + e.Reason +
		"; a key is 1 to 255 visible ASCII characters, optionally in double quotes"
}

// Is reports whether target is [ErrInvalidKey].
func (e *KeyError) Is(target error) bool { return target == ErrInvalidKey }

// StatusCode is 400.
func (e *KeyError) StatusCode() int { return 400 }

// Key is an idempotency key and what is known of it. The zero value is no
// key. It is a value: copy it freely.
type Key struct {
	// Value is the key itself, as [ParseKey] returns it.
	Value string
	// For is "service/endpoint", the call that the key was made for, as
	// [CallName] gives it. Empty when the client did not say.
	For string
	// Issued is when the key was minted. Zero when unknown.
	Issued time.Time
	// Unordered, of a key that [CallKey] gave: it counts a call that began while
	// another one to the same endpoint was running. A second run may count them the
	// other way round, and finds the wrong records then. [WithStep] prevents that.
	Unordered bool
}

// IsFor reports whether the key may be used by a call to endpoint of service:
// it was made for that call, or its client did not say what it was made for.
func (k Key) IsFor(service, endpoint string) bool {
	if k.For == "" {
		return true
	}
	rest, ok := strings.CutPrefix(k.For, service)
	return ok && strings.HasPrefix(rest, "/") && rest[1:] == endpoint
}

// CallName is the value of [HeaderFor] for a call to endpoint of service.
func CallName(service, endpoint string) string { return service + "/" + endpoint }

// ParseKey gives the key that s carries: s itself, or what it quotes, since
// the IETF draft "The Idempotency-Key HTTP Header Field" sends a key as a
// quoted string (RFC 8941, section 3.3.3). The key has 1 to 255 visible ASCII
// characters and does not begin with a double quote, so that to parse a
// parsed key changes nothing. The error is a [*KeyError].
func ParseKey(s string) (string, error) {
	if len(s) == 0 {
		return "", &KeyError{Reason: "it is empty"}
	}
	if s[0] == '"' {
		var err error
		if s, err = unquote(s); err != nil {
			return "", err
		}
	}
	if len(s) > MaxKeyLength {
		return "", &KeyError{Reason: fmt.Sprintf("it has %d characters", len(s))}
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return "", &KeyError{Reason: fmt.Sprintf("the character at position %d is not visible ASCII", i+1)}
		}
	}
	return s, nil
}

// unquote reads a quoted string of RFC 8941. A backslash may precede a quote
// or a backslash, and nothing else.
func unquote(s string) (string, error) {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", &KeyError{Reason: "the quote at its beginning is not closed at its end"}
	}
	s = s[1 : len(s)-1]
	if s == "" {
		return "", &KeyError{Reason: "there is nothing between its quotes"}
	}
	if strings.ContainsAny(s, `"\`) {
		var err error
		if s, err = unescape(s); err != nil {
			return "", err
		}
	}
	if s[0] == '"' {
		return "", &KeyError{Reason: "it begins with a quoted quote"}
	}
	return s, nil
}

func unescape(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return "", &KeyError{Reason: "a quote within it is not escaped"}
		case '\\':
			i++
			if i == len(s) || (s[i] != '"' && s[i] != '\\') {
				return "", &KeyError{Reason: "a backslash within its quotes escapes neither a quote nor a backslash"}
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}

// Generator mints a key. It must be safe for concurrent use, and no two keys
// may ever be equal: a repeated key is answered with the record of the first.
type Generator func() (string, error)

// NewUUID mints a random UUID (RFC 9562, version 4). It is the generator where
// none is given.
func NewUUID() (string, error) {
	var id uuid.UUID // uuid.NewRandom would allocate it, for a source that may be set
	if _, err := rand.Read(id[:]); err != nil {
		return "", fmt.Errorf("idempotency: mint a key: %w", err)
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version and variant
	return id.String(), nil
}
