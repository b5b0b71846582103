package telemetry

import (
	"net"
	"strconv"

	merrors "go-micro.dev/v4/errors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// The attributes that the semantic conventions have no name for. The first two are gRPC's,
// from its A72.
const (
	transparentKey = attribute.Key("transparent-retry")
	previousKey    = attribute.Key("previous-rpc-attempts")
	serviceKey     = attribute.Key("oncemore.service")
	classKey       = attribute.Key("oncemore.class")
	reasonKey      = attribute.Key("oncemore.reason")
	hedgeKey       = attribute.Key("oncemore.hedge")
	retryKey       = attribute.Key("oncemore.retry")
	savedKey       = attribute.Key("oncemore.by")
	attemptsKey    = attribute.Key("oncemore.attempts")
	ambiguousKey   = attribute.Key("oncemore.ambiguous")
	outcomeKey     = attribute.Key("oncemore.outcome")
	idempotencyKey = attribute.Key("oncemore.key")
	eventKey       = attribute.Key("oncemore.event")
	operationKey   = attribute.Key("oncemore.operation")
	toKey          = attribute.Key("oncemore.to")
	poolKey        = attribute.Key("oncemore.pool")
)

// system is go-micro's rpc.system.name. The conventions have none for it, and allow
// others.
func system() attribute.KeyValue { return semconv.RPCSystemNameKey.String("go-micro") }

// method is the rpc.method of an endpoint.
func method(service, endpoint string) attribute.KeyValue {
	return semconv.RPCMethod(service + "/" + endpoint)
}

// codeOf is the code of an error of go-micro's, which is a text on mucp; 0 for any other.
func codeOf(err error) int32 { return merrors.FromError(err).Code }

// statusOf is the code of an error as an attribute has it; empty for nil.
func statusOf(err error) string {
	if err == nil {
		return ""
	}
	if code := codeOf(err); code != 0 {
		return strconv.Itoa(int(code))
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

// failure adds what is to be said of an error.
func failure(attrs []attribute.KeyValue, status string) []attribute.KeyValue {
	if status == "" {
		return attrs
	}
	if status != semconv.ErrorTypeOther.Value.AsString() {
		attrs = append(attrs, semconv.RPCResponseStatusCode(status))
	}
	return append(attrs, semconv.ErrorTypeKey.String(status))
}

// className is a class, by "ok" where there is none.
func className(c retryfunc.Class) string {
	if c == retryfunc.None {
		return "ok"
	}
	return c.String()
}

// serverOf is the address of an instance.
func serverOf(attrs []attribute.KeyValue, address string) []attribute.KeyValue {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return append(attrs, semconv.ServerAddress(address))
	}
	attrs = append(attrs, semconv.ServerAddress(host))
	if port, err := strconv.Atoi(text); err == nil {
		attrs = append(attrs, semconv.ServerPort(port))
	}
	return attrs
}

// sets are attribute sets by what they are made of, which are made once, because that is
// what a measurement costs most. They are safe for concurrent use; the zero value is empty.
type sets[K comparable] struct{ made cache[K, *set] }

// set is one set, as histograms and counters want it.
type set struct {
	record []metric.RecordOption
	add    []metric.AddOption
}

// of returns the set for a key, which is made of attrs the first time.
func (s *sets[K]) of(key K, attrs func(K) []attribute.KeyValue) *set {
	if found, ok := s.made.get(key); ok {
		return found
	}
	option := metric.WithAttributeSet(attribute.NewSet(attrs(key)...))
	one := &set{record: []metric.RecordOption{option}, add: []metric.AddOption{option}}
	s.made.put(key, one)
	return one
}
