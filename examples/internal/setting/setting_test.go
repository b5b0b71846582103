package setting

import (
	"errors"
	"slices"
	"testing"
)

func TestErrorNamesSettingValueAndWhatIsAllowed(t *testing.T) {
	_, intErr := Int("CALLS", "many", 1, 10)
	_, listErr := Addresses("HELLO_NODES", "127.0.0.1:9001,localhost")
	_, addressErr := Address("USER_API_ADDRESS", ":8080")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{OneOf("REGISTRY", "etcd", "memory", "consul"), `REGISTRY="etcd": must be one of memory, consul`},
		{intErr, `CALLS="many": must be a whole number from 1 to 10`},
		{listErr, `HELLO_NODES="127.0.0.1:9001,localhost": must be host:port, or several separated by commas`},
		{addressErr, `USER_API_ADDRESS=":8080": must be host:port`},
	} {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("error = %v, want %s", tt.err, tt.want)
		}
		if _, ok := errors.AsType[*Error](tt.err); !ok {
			t.Errorf("%T is not an *Error", tt.err)
		}
	}
}

func TestInt(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  int
		ok    bool
	}{
		{"3", 3, true}, {"9", 9, true}, {"2", 0, false}, {"10", 0, false},
		{"", 0, false}, {"3.5", 0, false}, {"-3", 0, false}, {" 3", 0, false},
	} {
		got, err := Int("INSTANCES", tt.value, 3, 9)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("Int(%q) = %d, %v", tt.value, got, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  []string
		ok    bool
	}{
		{"", nil, true},
		{"127.0.0.1:9001", []string{"127.0.0.1:9001"}, true},
		{"127.0.0.1:9001, [::1]:9002", []string{"127.0.0.1:9001", "[::1]:9002"}, true},
		{"127.0.0.1", nil, false},
		{"127.0.0.1:0", nil, false},
		{"127.0.0.1:70000", nil, false},
		{"127.0.0.1:9001,", nil, false},
		{"127.0.0.1:http", nil, false},
	} {
		got, err := Addresses("HELLO_NODES", tt.value)
		if !slices.Equal(got, tt.want) || (err == nil) != tt.ok {
			t.Errorf("Addresses(%q) = %q, %v", tt.value, got, err)
		}
	}
}

func TestOneOf(t *testing.T) {
	if err := OneOf("TRANSPORT", "grpc", "mucp", "grpc"); err != nil {
		t.Error(err)
	}
	if err := OneOf("TRANSPORT", "", "mucp", "grpc"); err == nil {
		t.Error("an empty value passed")
	}
}
