// Package method knows the methods of HTTP: one that is misspelt in an option would
// switch deduplication off in silence.
package method

import "fmt"

// IsSafe tells whether a method changes nothing (RFC 9110, section 9.2.1, and the
// registry of IANA). Of one that it does not know it says no.
func IsSafe(method string) bool {
	switch method {
	case "CONNECT", "GET", "HEAD", "OPTIONS", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH", "TRACE":
		return true
	default:
		return false
	}
}

// changes tells whether a method is one of the registry's that change something.
func changes(method string) bool {
	switch method {
	case "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "DELETE", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY",
		"MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PATCH", "POST", "PROPPATCH", "PUT", "REBIND",
		"UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL":
		return true
	default:
		return false
	}
}

// Check returns what an option that takes methods must be given, if these are not it.
// They are named in what it returns first.
func Check(methods []string) (value, allowed string) {
	if len(methods) == 0 {
		return "", "given a method, such as POST"
	}
	for _, m := range methods {
		switch {
		case IsSafe(m):
			return fmt.Sprintf("%q", m), "methods that change something, such as POST: this one does not, and is never repeated in vain"
		case !changes(m):
			return fmt.Sprintf("%q", m), "methods that IANA has registered, in capitals, such as POST"
		}
	}
	return "", ""
}
