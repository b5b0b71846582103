package messages

import (
	"testing"
)

// TestRedeliveredWithoutABrokersID: go-micro's grpc client gives messages no identity of
// its own; the key that the wrapper mints is what tells a redelivery.
func TestRedeliveredWithoutABrokersID(t *testing.T) {
	eachTransport(t, func(t *testing.T, m *mailer) {
		t.Helper()
		m.publish(orders, "")
		for range 3 {
			must(t, m.deliver(orders))
		}
		m.want(orders, 1)
	})
}
