package page

import (
	"errors"
	"net"
	"net/http"

	"github.com/oncemore-dev/oncemore/examples/internal/control"
)

// press is POST /control/INSTANCE/ACTION. The page served here may do that, and no other:
// neither one of another origin, nor one that calls this machine by another name.
func (p *Page) press(w http.ResponseWriter, r *http.Request) {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if !isLoopback(r.Host) {
		http.Error(w, "only from this machine", http.StatusForbidden)
		return
	}
	err := p.control.Do(r.Context(), r.PathValue("instance"), control.Action(r.PathValue("action")))
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, control.ErrUnknown):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, control.ErrNotNow):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
