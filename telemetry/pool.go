package telemetry

import (
	"context"
	"database/sql"
	"fmt"

	"go.opentelemetry.io/otel/metric"
)

// WatchPool measures the connections of a database, and how long was waited for one: a
// pool that is too small for the handlers and the records that they share it with is a
// common reason for a service that stands still. name tells several apart. Unregister what
// is returned when the database is closed.
func (t *Telemetry) WatchPool(db *sql.DB, name string) (metric.Registration, error) {
	if db == nil || name == "" {
		return nil, fmt.Errorf("telemetry: WatchPool(db, %q): must be a database that is not nil, and a name for it", name)
	}
	i := instruments{meter: t.meter}
	most := i.gauge("oncemore.server.pool.max", "{connection}", "Connections that may be open; 0 for any number.")
	open := i.gauge("oncemore.server.pool.open", "{connection}", "Connections that are open.")
	inUse := i.gauge("oncemore.server.pool.in_use", "{connection}", "Connections that are in use.")
	waits := i.total("oncemore.server.pool.waits", "{wait}", "How often a connection was waited for.")
	waited := i.total("oncemore.server.pool.wait", "s", "How long connections were waited for.")
	if i.err != nil {
		return nil, i.err
	}
	of := metric.WithAttributes(poolKey.String(name))
	return t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		seen := db.Stats()
		o.ObserveFloat64(most, float64(seen.MaxOpenConnections), of)
		o.ObserveFloat64(open, float64(seen.OpenConnections), of)
		o.ObserveFloat64(inUse, float64(seen.InUse), of)
		o.ObserveFloat64(waits, float64(seen.WaitCount), of)
		o.ObserveFloat64(waited, seen.WaitDuration.Seconds(), of)
		return nil
	}, most, open, inUse, waits, waited)
}

func (i *instruments) total(name, unit, what string) metric.Float64ObservableCounter {
	c, err := i.meter.Float64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(what))
	i.keep(err)
	return c
}
