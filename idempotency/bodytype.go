package idempotency

import (
	"fmt"
	"reflect"
	"sync"
)

// bodyTypes remembers which types of request have been warned about. The zero value
// remembers none.
type bodyTypes struct{ warned sync.Map } // reflect.Type → nothing

// fingerprint returns the fingerprint of a call's body. A body that has none is
// executed all the same, since its handler could do with it: then its key alone
// tells what it is.
func (g *Guard) fingerprint(c Call) Fingerprint {
	fingerprint, err := FingerprintOf(c.Body)
	if err == nil {
		return fingerprint
	}
	if _, warned := g.bodies.warned.LoadOrStore(reflect.TypeOf(c.Body), nil); !warned {
		g.Logger().Warn("idempotency: requests of this type cannot be told from one another: "+
			"another one with the same key is taken for a repetition",
			"service", c.Service, "endpoint", c.Endpoint, "type", fmt.Sprintf("%T", c.Body), "reason", err)
	}
	return Fingerprint{}
}
