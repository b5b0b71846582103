package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// interval is the pause between two events of a stream.
	interval = 400 * time.Millisecond
	// writeTime is how long a browser may take to read an event before it is dropped. It
	// comes back by itself, and begins anew.
	writeTime = 2 * time.Second
	// mostStreams is how many browsers may watch at once.
	mostStreams = 50
)

// stream is GET /events: a snapshot, then what has changed, until the browser leaves or
// the page is closed.
func (p *Page) stream(w http.ResponseWriter, r *http.Request) {
	if p.streams.Add(1) > mostStreams {
		p.streams.Add(-1)
		http.Error(w, "too many watch already", http.StatusServiceUnavailable)
		return
	}
	defer p.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	name, since := "snapshot", cursor{}
	for {
		v, next := p.look(r.Context(), since)
		if err := send(w, name, v); err != nil {
			return // the browser has left, or does not read
		}
		name, since = "change", next
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-p.closed:
			return
		}
	}
}

func send(w http.ResponseWriter, name string, v view) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	connection := http.NewResponseController(w)
	if err := connection.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data); err != nil {
		return err
	}
	return connection.Flush()
}
