package idempotency

import (
	"strconv"
	"strings"
)

// canonicalNumber respells a JSON number so that equal numbers are equal
// texts: 100, 1e2 and 100.0 become 1e2. It is exact where a float64 would
// round. An exponent beyond 32 bits is left as it is.
func canonicalNumber(s string) string {
	sign, digits := "", s
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	exponent := 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		e, err := strconv.ParseInt(digits[i+1:], 10, 32)
		if err != nil {
			return s
		}
		exponent, digits = int(e), digits[:i]
	}
	if whole, fraction, ok := strings.Cut(digits, "."); ok {
		digits = whole + fraction
		exponent -= len(fraction)
	}
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return "0"
	}
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	if exponent == 0 {
		return sign + trimmed
	}
	return sign + trimmed + "e" + strconv.Itoa(exponent)
}
