package oncemore

import (
	"sync/atomic"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
)

// witness tells whether a client is still reached through others that were
// wrapped around it. Wrappers embed the client they wrap, so that a question to
// the outermost arrives at the innermost unless it is no longer there.
type witness struct {
	client.Client
	asked atomic.Bool
}

func (w *witness) watch(c client.Client) client.Client {
	w.Client = c
	return w
}

// String is the client's own.
func (w *witness) String() string {
	w.asked.Store(true)
	return w.Client.String()
}

// Options are the client's own.
func (w *witness) Options() client.Options {
	w.asked.Store(true)
	return w.Client.Options()
}

// check returns ErrClientReplaced if the service's client no longer leads here.
// Two questions are put, since a wrapper may answer either by itself.
func (w *witness) check(o *micro.Options) error {
	w.asked.Store(false)
	_ = o.Client.String()
	_ = o.Client.Options()
	if !w.asked.Load() {
		return ErrClientReplaced
	}
	return nil
}
