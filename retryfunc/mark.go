package retryfunc

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go-micro.dev/v4/errors"
)

// MarkID is the Id of the errors that carry a [Mark], but for [MarkUnsettled] and
// [MarkFailed], which go with the handler's own.
const MarkID = "oncemore"

// MarkKind says what a server did with a request it did not answer itself. The
// zero value, [MarkNone], marks nothing.
type MarkKind uint8

const (
	// MarkNone is no mark at all.
	MarkNone MarkKind = iota
	// MarkRefused means that nothing ran (overload, store down, request too late).
	MarkRefused
	// MarkRunning means that an earlier attempt with the same key is still
	// running.
	MarkRunning
	// MarkUnknown means that an earlier attempt with the same key ended nobody
	// knows how.
	MarkUnknown
	// MarkRelayed means that the handler ran, and answered with an error that it
	// got from somebody else.
	MarkRelayed
	// MarkUnsettled means that the handler ran, and that no record is kept of how it
	// ended: the same call, with the same key, executes again.
	MarkUnsettled
	// MarkFailed means that the handler ran, and that its error is that of a callee
	// which has failed it for good: another instance would hear the same. It always
	// says [Mark.NoRetry].
	MarkFailed
)

// String returns the kind as it is written on the wire, such as "refused".
func (k MarkKind) String() string {
	switch k {
	case MarkNone:
		return "none"
	case MarkRefused:
		return "refused"
	case MarkRunning:
		return "running"
	case MarkUnknown:
		return "unknown"
	case MarkRelayed:
		return "relayed"
	case MarkUnsettled:
		return "unsettled"
	case MarkFailed:
		return "failed"
	default:
		return "MarkKind(" + strconv.Itoa(int(k)) + ")"
	}
}

// Mark is what an oncemore server says of itself in an error. It travels in the
// Status field of a go-micro *errors.Error, the one field that both transports
// carry and that nobody else needs:
//
//	refused; service=hello-srv; retry-after=250ms; no-retry
type Mark struct {
	// Kind says what was done.
	Kind MarkKind
	// Service that made the mark. A mark counts only for a caller who called
	// this service; to any other it is a relayed error.
	Service string
	// RetryAfter is the least time to wait before the next attempt; 0: no wish.
	RetryAfter time.Duration
	// NoRetry asks the caller not to try again.
	NoRetry bool
	// Released is set where the request was refused because, by its sender's clock,
	// it was sent before another one that ended with nothing done: it is when that
	// one was sent. The next attempt says so, see idempotency.HeaderReleased, and
	// then is not late for it.
	Released time.Time
}

// NewMarked returns an error with the mark m in it, for a server to answer with.
// A mark of kind MarkNone, or of no known kind, is left out; a negative
// RetryAfter counts as 0.
func NewMarked(code int32, detail string, m Mark) *errors.Error {
	return &errors.Error{Id: MarkID, Code: code, Detail: detail, Status: m.status(code)}
}

func (m Mark) status(code int32) string {
	if m.Kind == MarkNone || m.Kind > MarkFailed {
		return http.StatusText(int(code))
	}
	var b strings.Builder
	b.WriteString(m.Kind.String())
	if m.Service != "" {
		b.WriteString("; service=" + url.QueryEscape(m.Service))
	}
	if m.RetryAfter > 0 {
		b.WriteString("; retry-after=" + m.RetryAfter.String())
	}
	if m.NoRetry || m.Kind == MarkFailed {
		b.WriteString("; no-retry")
	}
	if !m.Released.IsZero() {
		b.WriteString("; released=" + m.Released.UTC().Format(time.RFC3339Nano))
	}
	return b.String()
}

// ParseMark returns the mark that err carries, anywhere in its chain. It reports
// false for errors without one, and for marks of a kind or a form it does not
// know; fields it does not know are passed over, so that servers may add some.
func ParseMark(err error) (Mark, bool) {
	if err == nil {
		return Mark{}, false
	}
	e, _ := trace(err, Evidence{})
	return markOf(e)
}

func markOf(e *errors.Error) (Mark, bool) {
	if e == nil || e.Id != MarkID && !goesWithOthers(e.Status) {
		return Mark{}, false
	}
	m, err := parseStatus(e.Status)
	return m, err == nil
}

// OfHandler reports whether a mark of this kind goes with the handler's own error, which
// stays what it is without the mark.
func (k MarkKind) OfHandler() bool { return k == MarkUnsettled || k == MarkFailed }

// goesWithOthers tells whether a status is a mark that goes with a handler's error.
func goesWithOthers(status string) bool {
	return strings.HasPrefix(status, MarkUnsettled.String()+";") || strings.HasPrefix(status, MarkFailed.String()+";")
}

func parseStatus(status string) (Mark, error) {
	name, rest, more := strings.Cut(status, ";")
	m := Mark{Kind: MarkNamed(strings.TrimSpace(name))}
	m.NoRetry = m.Kind == MarkFailed
	if m.Kind == MarkNone {
		return Mark{}, fmt.Errorf("retryfunc: unknown mark %q", name)
	}
	var field string
	for more {
		field, rest, more = strings.Cut(rest, ";")
		if err := setField(&m, strings.TrimSpace(field)); err != nil {
			return Mark{}, err
		}
	}
	return m, nil
}

// MarkNamed returns the kind that is written so on the wire; MarkNone if none is.
func MarkNamed(name string) MarkKind {
	for k := MarkRefused; k <= MarkFailed; k++ {
		if k.String() == name {
			return k
		}
	}
	return MarkNone
}

func setField(m *Mark, field string) (err error) {
	name, value, _ := strings.Cut(field, "=")
	switch name {
	case "service":
		m.Service, err = url.QueryUnescape(value)
	case "retry-after":
		m.RetryAfter, err = time.ParseDuration(value)
		if err == nil && m.RetryAfter < 0 {
			err = fmt.Errorf("retryfunc: negative retry-after %q", value)
		}
	case "no-retry":
		m.NoRetry = true
	case "released":
		m.Released, err = time.Parse(time.RFC3339Nano, value)
		m.Released = m.Released.UTC()
	}
	return err
}
