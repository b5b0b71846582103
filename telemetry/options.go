package telemetry

import (
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Options is what the Option functions set. The zero value has OpenTelemetry's global
// providers and propagator, as they are when New is called.
type Options struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
	instances  bool
	errs       []error
}

// Option configures New.
type Option func(*Options)

// WithTracerProvider sets where spans go. Default otel.GetTracerProvider().
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(o *Options) {
		if p == nil {
			o.errs = append(o.errs, errors.New("telemetry: WithTracerProvider(nil): must be a provider; for no spans, noop.NewTracerProvider()"))
		}
		o.tracers = p
	}
}

// WithMeterProvider sets where metrics go. Default otel.GetMeterProvider().
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(o *Options) {
		if p == nil {
			o.errs = append(o.errs, errors.New("telemetry: WithMeterProvider(nil): must be a provider; for no metrics, noop.NewMeterProvider()"))
		}
		o.meters = p
	}
}

// WithPropagator sets how a trace crosses go-micro's metadata. Default
// otel.GetTextMapPropagator(), or W3C Trace Context and Baggage where that has no fields
// of its own, as is so until a program sets one.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(o *Options) {
		if p == nil {
			o.errs = append(o.errs, errors.New("telemetry: WithPropagator(nil): must be a propagator such as propagation.TraceContext{}"))
		}
		o.propagator = p
	}
}

// WithInstances adds server.address, the instance that was called, to
// oncemore.client.attempt.duration. By default it is left out there, since each instance
// that ever lived makes a series of its own in each bucket. Circuits and spans always have it.
func WithInstances() Option {
	return func(o *Options) { o.instances = true }
}

func newOptions(opts []Option) (Options, error) {
	var o Options
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("telemetry: nil option: leave it out instead")
		}
		opt(&o)
	}
	if err := errors.Join(o.errs...); err != nil {
		return o, err
	}
	if o.tracers == nil {
		o.tracers = otel.GetTracerProvider()
	}
	if o.meters == nil {
		o.meters = otel.GetMeterProvider()
	}
	if o.propagator == nil {
		o.propagator = globalPropagator()
	}
	return o, nil
}

func globalPropagator() propagation.TextMapPropagator {
	if global := otel.GetTextMapPropagator(); len(global.Fields()) > 0 {
		return global
	}
	return propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
}
