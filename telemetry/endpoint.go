package telemetry

import (
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// endpoint is what the spans of an endpoint begin with, made once, because it costs more
// than to begin a span that is not sampled.
type endpoint struct {
	name, attempt string
	client        []trace.SpanStartOption
	server        []trace.SpanStartOption
}

// endpoints are those that were called or served. They are safe for concurrent use; the
// zero value has none.
type endpoints struct {
	mu   sync.RWMutex
	made map[endpointKey]*endpoint
}

type endpointKey struct{ service, endpoint string }

// of returns the endpoint, of which it keeps so many at the most: anybody can ask for one that does
// not exist.
func (e *endpoints) of(service, name string) *endpoint {
	key := endpointKey{service, name}
	e.mu.RLock()
	found := e.made[key]
	e.mu.RUnlock()
	if found != nil {
		return found
	}
	attrs := trace.WithAttributes(system(), method(service, name))
	one := &endpoint{
		name: service + "/" + name, attempt: "Attempt." + service + "/" + name,
		client: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), attrs},
		server: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), attrs},
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.made == nil {
		e.made = make(map[endpointKey]*endpoint)
	}
	if len(e.made) < mostSets {
		e.made[key] = one
	}
	return one
}
