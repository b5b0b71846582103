// Package httpkey checks the Idempotency-Key header of HTTP requests and puts
// the key into their context, where a client that is wrapped for idempotency
// finds it.
//
// The danger first: the key alone makes nothing happen once. What the handler
// calls must claim it, see [idempotency.Guard]; and it must belong to the
// user's intention, so it is minted where the form is, not where the request
// is sent.
//
// The header is that of the IETF draft "The Idempotency-Key HTTP Header Field".
package httpkey

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/internal/method"
	"github.com/oncemore-dev/oncemore/idempotency/internal/problem"
)

// Options are the settings of [New].
type Options struct {
	methods  []string
	optional bool
}

// Option changes one setting of [New].
type Option func(*Options)

// WithMethods sets the methods whose requests need a key: registered ones that
// change something. Default POST and PATCH, which RFC 9110 does not call
// idempotent. Where a request of another method that changes something carries a
// key, it is treated alike; what is safe (GET, HEAD, OPTIONS, …) passes.
func WithMethods(methods ...string) Option {
	methods = slices.Clone(methods)
	return func(o *Options) { o.methods = methods }
}

// WithOptional lets requests without a key pass. A malformed key is refused
// all the same. By default a key is required.
func WithOptional() Option { return func(o *Options) { o.optional = true } }

// New returns a middleware that answers 400, with a problem (RFC 9457) that
// says the rule, to a request whose key is missing, malformed or repeated, and
// gives the others the key in their context ([idempotency.KeyFrom]) and, if
// there is an Idempotency-Issued header, its time. The middleware is safe for
// concurrent use. The error names the option that is wrong.
func New(options ...Option) (func(http.Handler) http.Handler, error) {
	o := Options{methods: []string{http.MethodPost, http.MethodPatch}}
	for i, option := range options {
		if option == nil {
			return nil, fmt.Errorf("httpkey: option %d is nil: leave it out instead", i)
		}
		option(&o)
	}
	if value, allowed := method.Check(o.methods); allowed != "" {
		return nil, fmt.Errorf("httpkey: WithMethods(%s): must be %s", value, allowed)
	}
	return o.wrap, nil
}

func (o *Options) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !o.concerns(r) {
			next.ServeHTTP(w, r)
			return
		}
		key, err := Parse(r.Header)
		if err != nil {
			writeProblem(w, err)
			return
		}
		ctx := idempotency.WithKey(r.Context(), key.Value)
		if !key.Issued.IsZero() {
			ctx = idempotency.WithIssued(ctx, key.Issued)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// concerns tells whether a request's key is looked at.
func (o *Options) concerns(r *http.Request) bool {
	if slices.Contains(o.methods, r.Method) && !o.optional {
		return true
	}
	return !method.IsSafe(r.Method) && Carries(r.Header)
}

// Carries reports whether a request has a key, be it malformed.
func Carries(header http.Header) bool { return len(valuesOf(header, idempotency.HeaderKey)) > 0 }

// Parse reads the key of a request from its header, and the time at which it
// was issued, if the header has it. For frameworks whose middleware is no
// http.Handler, and whose names may be in any case. The error is an
// [*idempotency.KeyError].
func Parse(header http.Header) (idempotency.Key, error) {
	values := valuesOf(header, idempotency.HeaderKey)
	if len(values) == 0 {
		return idempotency.Key{}, &idempotency.KeyError{Reason: "the " + idempotency.HeaderKey + " header is missing"}
	}
	if len(values) > 1 {
		return idempotency.Key{}, &idempotency.KeyError{Reason: "the " + idempotency.HeaderKey + " header is repeated"}
	}
	value, err := idempotency.ParseKey(values[0])
	if err != nil {
		return idempotency.Key{}, err
	}
	var issued time.Time
	if times := valuesOf(header, idempotency.HeaderIssued); len(times) > 0 {
		issued, err = idempotency.ParseIssued(times[0])
	}
	if err != nil {
		return idempotency.Key{}, &idempotency.KeyError{Reason: "its " + idempotency.HeaderIssued + " header is not an RFC 3339 time"}
	}
	key := idempotency.Key{Value: value, Issued: issued}
	if calls := valuesOf(header, idempotency.HeaderFor); len(calls) > 0 {
		key.For = calls[0]
	}
	return key, nil
}

// valuesOf returns the values of a name in any case. net/http brings names into
// one; other servers and their adapters need not.
func valuesOf(header http.Header, name string) []string {
	var values []string
	for other, its := range header {
		if len(other) == len(name) && strings.EqualFold(other, name) {
			values = append(values, its...)
		}
	}
	return values
}

// writeProblem answers with the rule that the key breaks.
func writeProblem(w http.ResponseWriter, err error) {
	problem.Write(w, problem.Details{
		Name: "bad-key", Title: "Bad idempotency key", Status: http.StatusBadRequest, Detail: err.Error(),
	})
}
