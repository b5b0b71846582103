package telemetry

import "go.opentelemetry.io/otel/trace"

// target is what is called.
type target struct{ service, endpoint string }

// spanStart is how the spans of a target begin, which is made once: calls that are not
// sampled pay for it, too.
type spanStart struct {
	name, attempt string
	call, request []trace.SpanStartOption
}

// start returns how the spans of an endpoint begin.
func (t *Telemetry) start(service, endpoint string) *spanStart {
	key := target{service, endpoint}
	if found, ok := t.starts.get(key); ok {
		return found
	}
	attributes := trace.WithAttributes(system(), method(service, endpoint))
	made := &spanStart{
		name:    service + "/" + endpoint,
		attempt: "Attempt." + service + "/" + endpoint,
		call:    []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), attributes},
		request: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), attributes},
	}
	t.starts.put(key, made)
	return made
}
