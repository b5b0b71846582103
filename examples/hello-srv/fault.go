package main

import (
	"strconv"
	"strings"
	"time"

	"go-micro.dev/v4/errors"
)

// faultKind is a way to misbehave.
type faultKind string

const (
	faultNone       faultKind = ""
	faultSleep      faultKind = "sleep"
	faultExitBefore faultKind = "exit-before"
	faultExitAfter  faultKind = "exit-after"
	faultPanic      faultKind = "panic"
	faultError      faultKind = "error"
)

const (
	longestSleep  = time.Minute
	faultsAllowed = "sleep=DURATION (up to 1m), exit-before, exit-after, panic or error=CODE (400 to 599)"
)

// fault is one way to misbehave, as a request asks for it.
type fault struct {
	kind  faultKind
	sleep time.Duration // with faultSleep
	code  int32         // with faultError
}

// parseFault parses the metadata Fault; an empty value asks for nothing.
func parseFault(value string) (fault, error) {
	name, argument, _ := strings.Cut(value, "=")
	switch kind := faultKind(name); kind {
	case faultSleep:
		d, err := time.ParseDuration(argument)
		if err != nil || d < 0 || d > longestSleep {
			return fault{}, faultNotAllowed(value)
		}
		return fault{kind: kind, sleep: d}, nil
	case faultError:
		code, err := strconv.ParseInt(argument, 10, 32)
		if err != nil || code < 400 || code > 599 {
			return fault{}, faultNotAllowed(value)
		}
		return fault{kind: kind, code: int32(code)}, nil
	case faultNone, faultExitBefore, faultExitAfter, faultPanic:
		if value != name {
			return fault{}, faultNotAllowed(value)
		}
		return fault{kind: kind}, nil
	default:
		return fault{}, faultNotAllowed(value)
	}
}

func faultNotAllowed(value string) error {
	return errors.BadRequest(serviceName, "%s=%q: must be %s", faultMetadata, value, faultsAllowed)
}
