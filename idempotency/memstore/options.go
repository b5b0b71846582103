package memstore

import (
	"errors"
	"fmt"
	"time"
)

// Options are the settings of a [Store].
type Options struct {
	maxEntries int64
	maxBytes   int64
	clock      func() time.Time
}

// settings lets the store embed its options without exporting them.
type settings = Options

// Option changes one setting of a [Store].
type Option func(*Options)

// WithMaxEntries bounds the number of claims and records. Default 1,000,000;
// at least 1.
func WithMaxEntries(n int) Option { return func(o *Options) { o.maxEntries = int64(n) } }

// WithMaxBytes bounds the size of all records, in bytes as they are encoded,
// without the store's own overhead: some 270 bytes for each, and its caller and
// key. A record that is larger by itself is kept without its body, as beyond
// [idempotency.WithMaxReply]. Default 256 MiB; at least 1.
func WithMaxBytes(n int64) Option { return func(o *Options) { o.maxBytes = n } }

// WithClock sets the clock by which leases and retention end. It must be safe
// for concurrent use. Default time.Now.
func WithClock(now func() time.Time) Option { return func(o *Options) { o.clock = now } }

func newOptions(options []Option) (Options, error) {
	o := Options{maxEntries: 1_000_000, maxBytes: 256 << 20, clock: time.Now}
	for i, option := range options {
		if option == nil {
			return o, fmt.Errorf("memstore: option %d is nil: leave it out instead", i)
		}
		option(&o)
	}
	switch {
	case o.maxEntries < 1:
		return o, fmt.Errorf("memstore: WithMaxEntries(%d): must be at least 1", o.maxEntries)
	case o.maxBytes < 1:
		return o, fmt.Errorf("memstore: WithMaxBytes(%d): must be at least 1", o.maxBytes)
	case o.clock == nil:
		return o, errors.New("memstore: WithClock(nil): must be given a clock")
	}
	return o, nil
}
