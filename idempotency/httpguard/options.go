package httpguard

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/oncemore-dev/oncemore/idempotency/internal/method"
)

// Options are the settings of [New], made by the functions of type [Option].
type Options struct {
	methods    []string
	optional   bool
	maxRequest int64
	caller     func(*http.Request) (string, error)
	endpoint   func(*http.Request) string
	headers    []string // in canonical form; nil for all that may be replayed
	mark       func(*ResponseError) error
}

// Option changes one setting of [New].
type Option func(*Options)

func defaults() Options {
	return Options{
		methods:    []string{http.MethodPost, http.MethodPatch},
		maxRequest: 1 << 20,
		caller:     func(*http.Request) (string, error) { return "", nil },
		endpoint:   func(r *http.Request) string { return r.Method + " " + r.URL.Path },
		mark:       func(e *ResponseError) error { return e },
	}
}

// WithMethods sets the methods whose requests need a key: registered ones that change
// something. Default POST and PATCH, which RFC 9110 does not call idempotent. Requests of
// other methods that change something are run once if they carry a key; what is safe
// (GET, HEAD, OPTIONS, …) passes through.
func WithMethods(methods ...string) Option {
	methods = slices.Clone(methods)
	return func(o *Options) { o.methods = methods }
}

// WithOptional lets requests without a key pass through, as often as they come. A
// malformed key is refused all the same. By default a key is required.
func WithOptional() Option { return func(o *Options) { o.optional = true } }

// WithMaxRequest sets the size in bytes beyond which a body is refused with 413,
// because the body is kept in memory to be compared. Default 1 MiB; at least 1.
func WithMaxRequest(bytes int64) Option { return func(o *Options) { o.maxRequest = bytes } }

// WithCaller tells callers apart: two who chose the same key must not meet. It must
// go by authenticated data. Its error is answered with what its method StatusCode()
// int says, else 500, and with no other word; nothing runs. The default is not to
// tell them apart: then whoever knows another's key, and sends the same request,
// gets the other's response.
func WithCaller(f func(*http.Request) (string, error)) Option {
	return func(o *Options) { o.caller = f }
}

// WithEndpoint names what a request is for; the record belongs to the name. Default
// is the method and the path, such as "POST /orders/7/tips", so that one key may be
// used on two paths. A name that leaves a part of the path out, such as the pattern
// of a route, makes one key one request on all of them; the fingerprint tells them
// apart.
func WithEndpoint(f func(*http.Request) string) Option {
	return func(o *Options) { o.endpoint = f }
}

// WithHeaders names the response headers that are replayed, if the handler sets
// them. Default all but Set-Cookie, which would give one client's session to
// another, and those that belong to one connection (RFC 9110, section 7.6.1) or one
// moment (Date). Content-Type is always replayed.
func WithHeaders(names ...string) Option {
	canonical := []string{"Content-Type"}
	for _, name := range names {
		canonical = append(canonical, http.CanonicalHeaderKey(name))
	}
	return func(o *Options) { o.headers = canonical }
}

// WithMark sees each response with a status of 400 or more before the guard does,
// and returns it as it is, or marked by [idempotency.Final],
// [idempotency.FinalKeepWrites] or [idempotency.NotDone], which a handler of this
// kind cannot return: for a 402, say, whose row is to stay. It must not return nil.
// The default marks nothing.
func WithMark(f func(*ResponseError) error) Option {
	return func(o *Options) { o.mark = f }
}

func (o *Options) check() error {
	var errs []error
	reject := func(option string, value any, allowed string) {
		errs = append(errs, fmt.Errorf("httpguard: %s(%v): must be %s", option, value, allowed))
	}
	if value, allowed := method.Check(o.methods); allowed != "" {
		reject("WithMethods", value, allowed)
	}
	if o.maxRequest < 1 {
		reject("WithMaxRequest", o.maxRequest, "at least 1")
	}
	if o.caller == nil {
		reject("WithCaller", nil, "a function over authenticated data")
	}
	if o.endpoint == nil {
		reject("WithEndpoint", nil, "a function")
	}
	if o.mark == nil {
		reject("WithMark", nil, "a function")
	}
	for _, name := range o.headers {
		if !isToken(name) {
			reject("WithHeaders", fmt.Sprintf("%q", name), "names of headers, such as Location")
		}
	}
	return errors.Join(errs...)
}

// isToken tells whether a name may be that of a header (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		alphanumeric := '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		return !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) < 0
}
