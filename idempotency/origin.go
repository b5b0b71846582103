package idempotency

import (
	"context"
	"fmt"
)

// maxOrigin bounds what a record says of its origin, in bytes.
const maxOrigin = 255

// WithOrigin sets what a record says of where its execution came from, such as the
// trace context of the request that was executed: of everyone who is answered with the
// record, in whatever process, hooks are told (see Event.Origin). origin is called with
// the context of the execution's caller, at its end and from many goroutines at once;
// it must not panic. What is empty, or longer than 255 bytes, is left out. Default nil:
// records say nothing.
func WithOrigin(origin func(ctx context.Context) string) Option {
	return func(o *Options) { o.origin = origin }
}

// signed adds the origin of an execution to its record.
func (g *Guard) signed(ctx context.Context, raw []byte) ([]byte, string) {
	if g.origin == nil {
		return raw, ""
	}
	origin := g.origin(ctx)
	if origin == "" || len(origin) > maxOrigin {
		return raw, ""
	}
	return withOrigin(raw, origin), origin
}

// withOrigin adds an origin to an encoded record that has none.
func withOrigin(raw []byte, origin string) []byte {
	if origin == "" || len(origin) > maxOrigin {
		return raw
	}
	with := make([]byte, recordHeader, len(raw)+1+len(origin))
	with = append(append(with, byte(len(origin))), origin...) //nolint:gosec // it is at most 255
	return sealAs(recordFormatOrigin, append(with, raw[recordHeader:]...), Content(raw[1]))
}

// splitOrigin takes the origin off the front of a record's body.
func splitOrigin(body []byte) (origin string, rest []byte, err error) {
	if len(body) == 0 || len(body) < 1+int(body[0]) {
		return "", nil, fmt.Errorf("%w: its origin is cut off", errRecord)
	}
	end := 1 + int(body[0])
	return string(body[1:end]), body[end:], nil
}
