package wrapper

import (
	"fmt"
	"sync"

	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// declaredEndpoints are those that a service announces as keyed. The zero value has
// none. It is safe for concurrent use.
type declaredEndpoints struct{ names sync.Map } // endpoint → nothing

func (d *declaredEndpoints) has(endpoint string) bool {
	_, ok := d.names.Load(endpoint)
	return ok
}

// learn takes in what a handler announces of its endpoints. The errors say what
// clients could make nothing of.
func (d *declaredEndpoints) learn(h server.Handler) (errs []error) {
	names := endpointNames(h.Endpoints())
	for endpoint, md := range h.Options().Metadata {
		announced, ok := md[retryfunc.MetadataSafety]
		if !ok {
			continue
		}
		safety, err := retryfunc.ParseSafety(announced)
		if err != nil {
			errs = append(errs, wrongOption("EndpointSafety", fmt.Sprintf("%q, %s", endpoint, announced),
				"given retryfunc.SafetySafe, SafetyIdempotent or SafetyKeyed"))
		}
		if !names.has(endpoint) {
			errs = append(errs, names.unknown(mention{"EndpointSafety", endpoint}))
		}
		if safety == retryfunc.SafetyKeyed {
			d.names.Store(endpoint, nil)
		}
	}
	return errs
}
