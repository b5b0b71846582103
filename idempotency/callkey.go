package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrStepNeeded is what every [*StepError] is, by errors.Is.
var ErrStepNeeded = errors.New("idempotency: a second call to one endpoint needs a step")

// StepError says that an execution called one endpoint a second time without
// telling the two calls apart. To merge them silently would lose the second.
type StepError struct {
	Service, Endpoint string
	// Step is the label that both calls share, empty for none.
	Step string
	// Err says why the two calls could not be compared, or is nil.
	Err error
}

// Error says what happened and what to do.
func (e *StepError) Error() string {
	text := fmt.Sprintf("idempotency: this execution has already called %s of %s", e.Endpoint, e.Service)
	if e.Step != "" {
		text += fmt.Sprintf(" in step %q", e.Step)
	}
	text += "; give each call a label of its own with idempotency.WithStep"
	if e.Err != nil {
		text += "; whether it repeats the first is unknown: " + e.Err.Error()
	}
	return text
}

// Is reports whether target is [ErrStepNeeded].
func (e *StepError) Is(target error) bool { return target == ErrStepNeeded }

// Unwrap returns Err.
func (e *StepError) Unwrap() error { return e.Err }

// StatusCode is 500: the handler is wrong, not its caller.
func (e *StepError) StatusCode() int { return 500 }

// CallKey gives the key for one logical call to endpoint of service, made
// under ctx and shared by all attempts of the call:
//
//   - the caller's own, see [WithKey];
//   - else, within an execution, one derived from the execution's key, the
//     service, the endpoint and the step, see [WithExecution];
//   - else one minted by gen, or by [NewUUID] where gen is nil.
//
// done must be called once when the call has ended. ambiguous says that the
// caller does not know the callee's answer: the callee may have run or may
// not. After an ambiguous end, and only then, the execution may make the same
// call again (same endpoint, same step, same fingerprint) and gets the same
// key: it is a retry. Any other second call is a [*StepError].
//
// fingerprint is asked only within an execution, and before CallKey returns.
// A nil fingerprint, or one that fails, makes every second call a different
// one. Other errors are a [*KeyError] for a malformed key and those of gen.
// CallKey is safe for concurrent use.
func CallKey(
	ctx context.Context, service, endpoint string,
	fingerprint func() (Fingerprint, error), gen Generator,
) (k Key, done func(ambiguous bool), err error) {
	c := callContextFrom(ctx)
	switch {
	case c.hasKey:
		k.Issued = c.issued
		k.Value, err = ParseKey(c.key)
		done = ignoreEnd
	case c.parent != nil:
		k.Issued = c.parent.parent.Issued
		k.Value, done, err = c.parent.callKey(nestedCall{service, endpoint, c.step}, fingerprint)
	default:
		k.Issued = time.Now().UTC()
		k.Value, err = mint(gen)
		done = ignoreEnd
	}
	if err != nil {
		return Key{}, ignoreEnd, err
	}
	k.For = CallName(service, endpoint)
	return k, done, nil
}

func ignoreEnd(bool) {}

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

// execution is what calls made within one run of a handler share.
type execution struct {
	parent Key
	caller string
	fence  uint64

	mu    sync.Mutex
	calls map[nestedCall]*callState
}

// nestedCall names a call within an execution.
type nestedCall struct{ service, endpoint, step string }

// callState is what is known of the last call of one name.
type callState struct {
	fingerprint Fingerprint
	err         error // why there is none
	ambiguous   bool  // ended, and its outcome is not known
}

func (e *execution) callKey(
	call nestedCall, fingerprint func() (Fingerprint, error),
) (string, func(bool), error) {
	now := &callState{err: errNoFingerprint}
	if fingerprint != nil {
		now.fingerprint, now.err = fingerprint()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if last, ok := e.calls[call]; ok && !now.repeats(last) {
		return "", nil, &StepError{
			Service: call.service, Endpoint: call.endpoint, Step: call.step, Err: now.incomparable(last),
		}
	}
	if e.calls == nil {
		e.calls = make(map[nestedCall]*callState)
	}
	e.calls[call] = now
	done := func(ambiguous bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		now.ambiguous = ambiguous
	}
	return e.derive(call), done, nil
}

var errNoFingerprint = errors.New("idempotency: the call has no fingerprint")

func (s *callState) repeats(last *callState) bool {
	return last.ambiguous && s.err == nil && last.err == nil && s.fingerprint == last.fingerprint
}

// incomparable returns why a call after an ambiguous one is not its retry, if
// the reason is that a fingerprint is missing.
func (s *callState) incomparable(last *callState) error {
	if !last.ambiguous {
		return nil
	}
	return errors.Join(last.err, s.err)
}

// derive hashes the parent and the call. The prefix is the version of the
// derivation: two versions must not share keys for different calls.
func (e *execution) derive(call nestedCall) string {
	const version = "d1"
	sum := hashStrings(version, e.parent.Value, e.parent.For, e.caller, call.service, call.endpoint, call.step)
	return version + "-" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// hashStrings hashes each string behind its length, so that no two lists look
// alike.
func hashStrings(list ...string) [sha256.Size]byte {
	raw := make([]byte, 0, 256) // on the stack, if it suffices
	for _, s := range list {
		raw = binary.BigEndian.AppendUint64(raw, uint64(len(s)))
		raw = append(raw, s...)
	}
	return sha256.Sum256(raw)
}
