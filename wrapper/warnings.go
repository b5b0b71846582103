package wrapper

import "sync"

// maxWarnings bounds what warnings remembers, since some of it is chosen by
// clients.
const maxWarnings = 1000

// warnings remembers what has been warned about. The zero value remembers nothing.
// It is safe for concurrent use.
type warnings struct {
	mu    sync.Mutex
	given map[any]struct{}
}

// first tells whether there has been no warning about what yet, and remembers that
// there is one now. After maxWarnings there is no more.
func (w *warnings) first(what any) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.given[what]; ok || len(w.given) >= maxWarnings {
		return false
	}
	if w.given == nil {
		w.given = make(map[any]struct{})
	}
	w.given[what] = struct{}{}
	return true
}
