package retryfunc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Inspection is what [Inspect] finds. The zero value is that of a rule which is
// none of this package's.
type Inspection struct {
	// Table: the rule does no more than look into what it was made of, as those
	// of Endpoints, Prefixes and Every do, and First of such rules. It neither
	// waits nor panics.
	Table bool
	// Names are those that were given to Endpoints, sorted.
	Names []string
	// Err is what is wrong with the rule, where its constructor could not say so.
	Err error
}

// Inspect tells what rule is made of: whoever takes a rule can warn of names
// that nobody serves, and refuse a wrong one before it is asked. Rules that are
// not of this package, nil among them, are not called.
func Inspect(rule Rule) Inspection {
	var found Inspection
	if isOwn(rule) {
		rule(context.WithValue(context.Background(), inspectionKey{}, &found), nil)
	}
	return found
}

type inspectionKey struct{}

// inspected tells whether a rule was called by Inspect, which asks about no
// request, and then answers.
func inspected(ctx context.Context, answer func(*Inspection)) bool {
	found, ok := ctx.Value(inspectionKey{}).(*Inspection)
	if ok {
		answer(found)
	}
	return ok
}

// isOwn tells whether rule is a method of one of the types here: all values of a
// type share the code of its methods.
func isOwn(rule Rule) bool {
	if rule == nil {
		return false
	}
	code := reflect.ValueOf(rule).Pointer()
	for _, own := range [...]Rule{new(endpointList).safety, prefixList(nil).safety, firstOf(nil).safety, every(0).safety} {
		if code == reflect.ValueOf(own).Pointer() {
			return true
		}
	}
	return false
}

func (l *endpointList) inspect(found *Inspection) {
	found.Table, found.Names = true, slices.Clone(l.names)
}

func (prefixList) inspect(found *Inspection) { found.Table = true }

func (e every) inspect(found *Inspection) {
	found.Table = true
	if !declared(Safety(e)) {
		found.Err = fmt.Errorf("retryfunc: Every(%v): must be unsafe, keyed, idempotent or safe", Safety(e))
	}
}

func (f firstOf) inspect(found *Inspection) {
	found.Table = true
	if len(f) == 0 {
		found.Err = errors.New("retryfunc: First(): must be given at least one rule that is not nil")
	}
	for _, rule := range f {
		one := Inspect(rule)
		found.Table = found.Table && one.Table
		found.Names = append(found.Names, one.Names...)
		found.Err = errors.Join(found.Err, one.Err)
	}
	slices.Sort(found.Names)
	found.Names = slices.Compact(found.Names)
}
