package retryfunc

import (
	"fmt"
	"strconv"
)

// MetadataSafety is the key of the endpoint metadata in which a server
// advertises, through the registry, how safe an endpoint is to repeat. The
// values are those of [ParseSafety].
const MetadataSafety = "idempotency"

// Safety says what repeating a call to an endpoint does, in the words of RFC
// 9110 §9.2. The zero value is SafetyUnknown.
type Safety uint8

const (
	// SafetyUnknown means that nothing is known, which counts as unsafe.
	SafetyUnknown Safety = iota
	// SafetyUnsafe means that repeating the call repeats its effect.
	SafetyUnsafe
	// SafetyKeyed means that the endpoint runs once per idempotency key; without a key
	// it is unsafe.
	SafetyKeyed
	// SafetyIdempotent means that repeating the call has the effect of making it once.
	SafetyIdempotent
	// SafetySafe means that the call changes nothing.
	SafetySafe
)

// String returns the safety in one lower-case word, such as "idempotent".
func (s Safety) String() string {
	switch s {
	case SafetyUnknown:
		return "unknown"
	case SafetyUnsafe:
		return "unsafe"
	case SafetyKeyed:
		return "keyed"
	case SafetyIdempotent:
		return "idempotent"
	case SafetySafe:
		return "safe"
	default:
		return "Safety(" + strconv.Itoa(int(s)) + ")"
	}
}

// Repeatable reports whether a call may run twice without harm and without a
// key: it is safe or idempotent.
func (s Safety) Repeatable() bool {
	return s == SafetyIdempotent || s == SafetySafe
}

// declared tells whether s is something that can be said of an endpoint.
func declared(s Safety) bool { return s > SafetyUnknown && s <= SafetySafe }

// ParseSafety reads what a server may advertise of an endpoint: "safe",
// "idempotent" or "keyed". Anything else is an error.
func ParseSafety(s string) (Safety, error) {
	switch s {
	case "safe":
		return SafetySafe, nil
	case "idempotent":
		return SafetyIdempotent, nil
	case "keyed":
		return SafetyKeyed, nil
	default:
		return SafetyUnknown, fmt.Errorf("retryfunc: ParseSafety(%q): must be safe, idempotent or keyed", s)
	}
}
