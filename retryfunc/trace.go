package retryfunc

import (
	"reflect"

	"go-micro.dev/v4/errors"
)

// origin says whose words an error is made of.
type origin uint8

const (
	foreign origin = iota // no go-micro error in its chain
	unclear               // may be this side's or the peer's
	local                 // made on this side of the wire
	peer                  // came over the wire
)

// trace finds the go-micro error in err's chain and says where it came from. Of
// any other error it returns the parsed text.
//
// mucp hands over what came from the wire as an unexported string type and
// makes its own errors as *errors.Error: the type is the evidence. On every
// other client both are *errors.Error.
func trace(err error, ev Evidence) (*errors.Error, origin) {
	found := search(err)
	switch e := found.(type) { //nolint:errorlint // search has walked the chain
	case nil:
		return parse(err.Error()), answeredOr(foreign, ev)
	case *errors.Error:
		if ev.Client == "mucp" {
			return e, answeredOr(local, ev)
		}
		return e, answeredOr(unclear, ev)
	default:
		return parse(found.Error()), peer
	}
}

func answeredOr(o origin, ev Evidence) origin {
	if ev.Answered {
		return peer
	}
	return o
}

// parse spares the JSON decoder texts that are no JSON object.
func parse(text string) *errors.Error {
	if len(text) == 0 || text[0] != '{' {
		return &errors.Error{Detail: text}
	}
	return errors.Parse(text)
}

// search returns the first *errors.Error or mucp server error in err's tree, in
// the order of errors.As, or nil.
func search(err error) error {
	for err != nil {
		e, ok := err.(*errors.Error) //nolint:errorlint // this is the walk down the chain
		if ok && e != nil || isServerError(err) {
			return err
		}
		switch u := err.(type) { //nolint:errorlint // this is the walk down the chain
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			for _, branch := range u.Unwrap() {
				if found := search(branch); found != nil {
					return found
				}
			}
			return nil
		default:
			return nil
		}
	}
	return nil
}

// isServerError tells whether err is what a mucp peer answered: as go-micro's client
// has it, or as package wrapper does for the streams that it reads itself.
func isServerError(err error) bool {
	t := reflect.TypeOf(err)
	if t.Kind() != reflect.String || t.Name() != "serverError" {
		return false
	}
	return t.PkgPath() == mucpPackage || t.PkgPath() == wrapperPackage
}
