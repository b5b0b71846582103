package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ErrStepNeeded is what every [*StepError] is, by errors.Is.
var ErrStepNeeded = errors.New("idempotency: this call cannot be told from another one under its key")

// StepError says that a call was not made, because it might execute again what was
// executed under another key: it may or may not repeat an earlier call whose outcome
// is not known, or its number does not tell which call it is, see [OutOfOrder].
type StepError struct {
	Service, Endpoint string
	// Step is the label that the calls share, empty for none.
	Step string
	// Err says why the calls cannot be told apart.
	Err error
}

// Error says what happened and what to do.
func (e *StepError) Error() string {
	text := fmt.Sprintf("idempotency: %s of %s was not called", e.Endpoint, e.Service)
	if e.Step != "" {
		text += fmt.Sprintf(" in step %q", e.Step)
	}
	return fmt.Sprintf("%s: %v; give each call a label of its own with idempotency.WithStep", text, e.Err)
}

// Is reports whether target is [ErrStepNeeded].
func (e *StepError) Is(target error) bool { return target == ErrStepNeeded }

// Unwrap returns Err.
func (e *StepError) Unwrap() error { return e.Err }

// StatusCode is 422, as that of [ErrMismatch], of which this is the client's side.
func (e *StepError) StatusCode() int { return 422 }

// Unsettled is true: the handler that makes the call has no answer. It implements
// [Unsettled].
func (e *StepError) Unsettled() bool { return true }

// CallKey gives the key for one logical call to endpoint of service, made
// under ctx and shared by all attempts of the call:
//
//   - for the first call to the endpoint, the caller's own, see [WithKey];
//   - else, within an execution, one derived from the execution's key, the
//     service, the endpoint and the step, see [WithExecution];
//   - else one minted by gen, or by [NewUUID] where gen is nil.
//
// The second call to one endpoint under a caller's own key, or within one
// execution, gets a key derived from the first one's, its step and its number in
// the order in which the calls begin, and so do all that follow. A run that makes
// the same calls in the same order finds the same keys. One that makes them in
// another order finds the record of another call, and is answered [ErrMismatch]
// where their bodies differ; then its caller says [OutOfOrder]. [WithStep] makes the
// order irrelevant: calls are counted for each step by itself, and a call with a step
// never carries the caller's own key itself.
//
// done must be called once when the call has ended, before the caller of the call
// can go on. ambiguous says that the callee may have no record of the call: it did
// not answer, or with an answer that settles nothing, such as 503. After an
// ambiguous end, and only then, the same call (same endpoint, same step, same
// fingerprint) is a retry, and gets the same key again.
//
// fingerprint is asked within done after an ambiguous end, and within CallKey
// when an earlier call has had one. Where it is nil or fails, the call may or may
// not be a retry: that is a [*StepError]. Other errors are a [*KeyError] for a
// malformed key and those of gen. CallKey is safe for concurrent use.
func CallKey(
	ctx context.Context, service, endpoint string,
	fingerprint func() (Fingerprint, error), gen Generator,
) (k Key, done func(ambiguous bool), err error) {
	c := callContextFrom(ctx)
	name := callName{service, endpoint, c.step}
	done = ignoreEnd
	switch {
	case c.own != nil:
		k, done, err = c.own.callKey(name, fingerprint)
		k.Issued = c.issued
	case c.parent != nil:
		k, done, err = c.parent.callKey(name, fingerprint)
		k.Issued = c.parent.parent.Issued
	default:
		k.Issued = time.Now().UTC()
		k.Value, err = mint(gen)
	}
	if err != nil {
		return Key{}, ignoreEnd, err
	}
	k.For = CallName(service, endpoint)
	return k, done, nil
}

func ignoreEnd(bool) {}

// OutOfOrder says that a call made under ctx was answered [ErrMismatch]: its number
// was that of another call in a former run, so that the calls of its name are not made
// in the same order. Later ones, unless they repeat an earlier one, are a [*StepError],
// since they might have been executed under another number.
func OutOfOrder(ctx context.Context, service, endpoint string) {
	c := callContextFrom(ctx)
	name := callName{service, endpoint, c.step}
	switch {
	case c.own != nil:
		c.own.calls.outOfOrder(name)
	case c.parent != nil:
		c.parent.calls.outOfOrder(name)
	}
}

func mint(gen Generator) (string, error) {
	if gen == nil {
		return NewUUID()
	}
	value, err := gen()
	if err != nil {
		return "", fmt.Errorf("idempotency: mint a key: %w", err)
	}
	return ParseKey(value)
}

// ownKey is a caller's key, and what the calls made under it share.
type ownKey struct {
	value string
	calls callCounter
}

func (o *ownKey) callKey(name callName, fingerprint func() (Fingerprint, error)) (Key, func(bool), error) {
	value, err := ParseKey(o.value)
	if err != nil {
		return Key{}, nil, err
	}
	call, err := o.calls.begin(name, fingerprint)
	if err != nil {
		return Key{}, nil, err
	}
	if name.step != "" {
		value = name.numbered(value, 1)
	}
	return name.key(value, call), call.end, nil
}

// execution is what calls made within one run of a handler share.
type execution struct {
	parent Key
	caller string
	fence  uint64
	calls  callCounter
}

func (e *execution) callKey(name callName, fingerprint func() (Fingerprint, error)) (Key, func(bool), error) {
	call, err := e.calls.begin(name, fingerprint)
	if err != nil {
		return Key{}, nil, err
	}
	return name.key(e.derive(name), call), call.end, nil
}

// derive hashes the parent and the call. The prefix is the version of the
// derivation: two versions must not share keys for different calls.
func (e *execution) derive(name callName) string {
	return derived("d1", e.parent.Value, e.parent.For, e.caller, name.service, name.endpoint, name.step)
}

// key is the key of a call whose first one of this name has the key first.
func (n callName) key(first string, call numberedCall) Key {
	if call.number == 1 {
		return Key{Value: first}
	}
	return Key{Value: n.numbered(first, call.number), Unordered: call.unordered}
}

// numbered derives the key of a later call from the first one's.
func (n callName) numbered(first string, number int) string {
	return derived("n1", first, n.service, n.endpoint, n.step, strconv.Itoa(number))
}

// derived is a key that is made of others. version says how, and is part of it.
func derived(version string, parts ...string) string {
	sum := hashStrings(version, parts...)
	return version + "-" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// hashStrings hashes each string behind its length, so that no two lists look
// alike.
func hashStrings(first string, list ...string) [sha256.Size]byte {
	raw := make([]byte, 0, 256) // on the stack, if it suffices
	raw = appendString64(raw, first)
	for _, s := range list {
		raw = appendString64(raw, s)
	}
	return sha256.Sum256(raw)
}

func appendString64(raw []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint64(raw, uint64(len(s))), s...)
}
