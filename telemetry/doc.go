// Package telemetry tells OpenTelemetry what oncemore does: spans and metrics of calls,
// their attempts, the instances that are called, requests and keys.
//
// A [Telemetry] is an observer:
//
//	t, err := telemetry.New()
//	plugin, err := oncemore.New(
//		oncemore.WithObserver(t),
//		oncemore.WithStore(store, idempotency.WithOrigin(t.Origin)),
//	)
//
// Names are those of the semantic conventions for RPC, in version 1.43, the newest that the
// OpenTelemetry module has (https://opentelemetry.io/docs/specs/semconv/rpc/). What they have
// no names for is below oncemore. Attempts are named as gRPC's proposal A72 has
// them, and retries are counted as its A96 does (https://github.com/grpc/proposal).
//
// # Spans
//
// A call has a span of kind client, "service/Endpoint", and each of its attempts one below
// it, "Attempt.service/Endpoint". The attempt's trace context crosses go-micro's metadata,
// so that the span of the request at the server, of kind server, is its child. The span of
// a request that joined an execution, or got the answer of an earlier one, links to the
// span of that execution, in whatever process that was, where [Telemetry.Origin] was
// given to idempotency.WithOrigin.
//
// # Metrics
//
// docs/telemetry.md has them all, with their attributes.
package telemetry
