package oncemore

import "github.com/oncemore-dev/oncemore/wrapper"

// Options is what the Option functions set.
type Options struct {
	client []wrapper.ClientOption
}

// Option configures New.
type Option func(*Options)

// WithClient adds options for the service's outgoing calls. Without any, calls
// are retried as retryfunc.Careful says.
func WithClient(opts ...wrapper.ClientOption) Option {
	return func(o *Options) { o.client = append(o.client, opts...) }
}
