package idempotency

import (
	"fmt"
	"time"
)

// The metadata keys and HTTP headers of this protocol, in the canonical
// title case in which they arrive.
const (
	// HeaderKey carries the key. The name is that of the IETF draft
	// "The Idempotency-Key HTTP Header Field".
	HeaderKey = "Idempotency-Key"
	// HeaderFor carries "service/endpoint", the call that the key was made
	// for. A server compares it with its own name: on a mismatch the key
	// leaked out of another call and must not be honoured.
	HeaderFor = "Idempotency-For"
	// HeaderIssued carries the time at which the key was minted, RFC 3339 in
	// UTC. See [FormatIssued] and [ParseIssued].
	HeaderIssued = "Idempotency-Issued"
	// HeaderRetryCount carries the number of attempts that came before this
	// one: 0 for the first.
	HeaderRetryCount = "Retry-Count"
	// HeaderAttemptTime carries what an attempt has left when it is sent, as a duration
	// ("850ms") that no clock matters to, and what is known of the caller's other
	// attempts; docs/wire.md has its form.
	HeaderAttemptTime = "Attempt-Time"
	// HeaderSent carries the time at which this attempt was sent, RFC 3339 in
	// UTC, so that one that arrives late, out of the socket of a process that
	// was frozen, is known for it. The retry count would not do: another call
	// with the same key begins to count from 0.
	HeaderSent = "Idempotency-Sent"
	// HeaderReleased carries, in an attempt that follows one that was refused for
	// being late, the time that the refusal told: when the attempt that was released
	// was sent, RFC 3339 in UTC. It proves that this attempt was sent after that
	// release, where clocks do not.
	HeaderReleased = "Idempotency-Released"
	// HeaderReplayed is "true" on an answer that was recorded earlier.
	HeaderReplayed = "Idempotent-Replayed"
	// HeaderUnsettled is "true" on an HTTP response that settles nothing, such as a
	// 503: no record of it is kept, and the next request with the key is executed
	// again.
	HeaderUnsettled = "Idempotent-Unsettled"
)

// FormatIssued gives the value of [HeaderIssued] for t. The zero time gives
// the empty string: leave the header out.
func FormatIssued(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// ParseIssued reads a value of [HeaderIssued]. The empty string gives the
// zero time, which says nothing about the key's age.
func ParseIssued(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("idempotency: %s must be an RFC 3339 time: %w", HeaderIssued, err)
	}
	return t.UTC(), nil
}

// ParseSent reads a value of [HeaderSent] that arrived at now with a key that was
// issued at issued, and orders attempts by it, for [Call]: in microseconds. The
// first attempt of a call whose key was minted for it is sent when the key is
// issued. An attempt that does not say is as late as it arrives, and a clock that
// is fast must not make all that follow look late.
func ParseSent(s string, issued, now time.Time) (attempt int64, err error) {
	sent := issued
	if s != "" {
		if sent, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return 0, fmt.Errorf("idempotency: %s must be an RFC 3339 time: %w", HeaderSent, err)
		}
	}
	if sent.IsZero() || sent.After(now) {
		sent = now
	}
	return max(0, sent.UnixMicro()), nil
}

// ParseReleased reads a value of [HeaderReleased], for [Call]. The empty string gives
// 0, for none.
func ParseReleased(s string) (attempt int64, err error) {
	if s == "" {
		return 0, nil
	}
	released, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("idempotency: %s must be an RFC 3339 time: %w", HeaderReleased, err)
	}
	return max(0, released.UnixMicro()), nil
}
