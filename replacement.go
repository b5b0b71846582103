package oncemore

import (
	"sync/atomic"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
)

// replacementDetector tells whether a client is still reached through others that were
// wrapped around it. Wrappers embed the client they wrap, so that a question to
// the outermost arrives at the innermost unless it is no longer there.
type replacementDetector struct {
	client.Client
	reached atomic.Bool
}

func (d *replacementDetector) watch(c client.Client) client.Client {
	d.Client = c
	return d
}

// String is the client's own.
func (d *replacementDetector) String() string {
	d.reached.Store(true)
	return d.Client.String()
}

// Options are the client's own.
func (d *replacementDetector) Options() client.Options {
	d.reached.Store(true)
	return d.Client.Options()
}

// check returns ErrClientReplaced if the service's client no longer leads here.
// Two questions are put, since a wrapper may answer either by itself.
func (d *replacementDetector) check(o *micro.Options) error {
	d.reached.Store(false)
	_ = o.Client.String()
	_ = o.Client.Options()
	if !d.reached.Load() {
		return ErrClientReplaced
	}
	return nil
}
