package main

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// effort is what an answer took user-api, as far as it tells.
type effort struct {
	attempts int // 0 if it does not tell
	failed   []failedAttempt
}

// failedAttempt says where an attempt went and how it ended, in the words of
// retryfunc.Class.
type failedAttempt struct{ address, class string }

// effortIn reads the headers that user-api sends for demonstrations.
func effortIn(header http.Header) effort {
	var e effort
	e.attempts, _ = strconv.Atoi(header.Get("Attempts"))
	if told := header.Get("Failed-Attempts"); told != "" {
		for one := range strings.SplitSeq(told, ", ") {
			address, class, _ := strings.Cut(one, " ")
			e.failed = append(e.failed, failedAttempt{address, class})
		}
	}
	return e
}

// failedAt counts the attempts that failed at an address, in one of the classes
// if any are given.
func (e effort) failedAt(address string, classes ...string) int {
	n := 0
	for _, f := range e.failed {
		if f.address == address && (len(classes) == 0 || slices.Contains(classes, f.class)) {
			n++
		}
	}
	return n
}
