package page

import (
	"context"
	"sync"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
)

// mostAcknowledged is how many tips are looked for in the ledger: the latest.
const mostAcknowledged = 50_000

// tips compares what callers were told with what the ledger holds.
type tips struct {
	// Acknowledged is how many tips were answered with success by this process.
	Acknowledged int `json:"acknowledged"`
	// Rows is how many tips the ledger holds, of whomever.
	Rows int `json:"rows"`
	// Duplicates is how many keys have more than one row.
	Duplicates int `json:"duplicates"`
	// Lost is how many tips were acknowledged and have no row.
	Lost int `json:"lost"`
}

// acknowledged are the keys of the tips that were answered with success, each once. The
// zero value has none. It is safe for concurrent use.
type acknowledged struct {
	mu    sync.Mutex
	known map[string]struct{}
	order []string // a ring of the known keys
	count int      // of all that ever were
}

// add takes note of a key; again is what a tip that was sent twice does.
func (a *acknowledged) add(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, again := a.known[key]; again {
		return
	}
	if a.known == nil {
		a.known = make(map[string]struct{})
	}
	if len(a.order) < mostAcknowledged {
		a.order = append(a.order, key)
	} else {
		oldest := a.count % mostAcknowledged
		delete(a.known, a.order[oldest])
		a.order[oldest] = key
	}
	a.known[key] = struct{}{}
	a.count++
}

// all returns how many there ever were, and the latest of them.
func (a *acknowledged) all() (count int, keys []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count, append([]string(nil), a.order...)
}

// audit asks the ledger after it has noted what was acknowledged: what comes in between
// is not lost.
func (a *acknowledged) audit(ctx context.Context, book *ledger.Ledger) (tips, error) {
	count, keys := a.all()
	rows, err := book.RowsByKey(ctx, "")
	if err != nil {
		return tips{}, err
	}
	found := tips{Acknowledged: count}
	for _, n := range rows {
		found.Rows += n
		if n > 1 {
			found.Duplicates++
		}
	}
	for _, key := range keys {
		if rows[key] == 0 {
			found.Lost++
		}
	}
	return found, nil
}
