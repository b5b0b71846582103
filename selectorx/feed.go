package selectorx

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

const (
	// recheckAfter is when the registry is asked after an event: what watchers tell may
	// arrive in another order than it happened, or not at all.
	recheckAfter = time.Second
	// Where no node is known, the registry is asked at most so often; sooner again
	// where it could not be asked.
	emptyPause = time.Second
	errorPause = 100 * time.Millisecond
	// lostAfter is how long a request may take before it is made again, and mostLooks
	// how many are made beside each other.
	lostAfter = 30 * time.Second
	mostLooks = 4
	// idleChecks is how often a feed looks whether anybody calls its service, until it
	// ends because nobody has.
	idleChecks = 10
	// alwaysThere is when nodes joined that were there from the start.
	alwaysThere = time.Duration(-1)
)

// feed keeps the snapshot of one service. Its goroutine owns the table.
type feed struct {
	*feeds

	name    string
	ctx     context.Context //nolint:containedctx // the feed's own life
	current atomic.Pointer[snapshot]
	used    atomic.Bool
	inbox   inbox
	asked   chan struct{}
	looked  chan look

	mu    sync.Mutex
	known Status
	ended time.Time     // of the last look
	wait  chan struct{} // closed when the next look has ended

	// The goroutine's.
	table     *table
	complete  bool               // the registry has told all nodes once
	journal   []*registry.Result // events since the latest look began
	missed    bool               // others, perhaps
	looks     int                // requests that have not ended
	number    int                // of the latest look
	began     time.Time          // when; zero: it has ended
	failures  int                // looks that failed in a row
	due       time.Time          // when the next look is
	keepUntil time.Time          // zero: what the registry tells is all there is
	unused    int
	stale     bool // as hooks were told
}

// look is what the registry answered.
type look struct {
	number   int
	services []*registry.Service
	err      error
}

func newFeed(ctx context.Context, of *feeds, name string) *feed {
	return &feed{
		feeds: of, name: name, ctx: ctx, table: newTable(), inbox: newInbox(),
		asked: make(chan struct{}, 1), looked: make(chan look, mostLooks),
		known: Status{Service: name}, wait: make(chan struct{}),
	}
}

// run keeps the snapshot until the feed is closed, or nobody has called the service for
// long.
func (f *feed) run() {
	go f.watch()
	f.look()
	timer, idle := time.NewTimer(time.Until(f.due)), time.NewTicker(f.settings.idle/idleChecks)
	defer timer.Stop()
	defer idle.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.inbox.ready:
			f.takeEvents()
		case got := <-f.looked:
			f.take(got)
		case <-f.asked:
			f.look()
		case <-timer.C:
			f.look()
		case <-idle.C:
			if f.isIdle() {
				return
			}
		}
		timer.Reset(time.Until(f.due))
	}
}

// isIdle tells whether nobody has called the service for long; where it has no node,
// for a tenth of that. While the registry does not answer, nodes that are known are
// not forgotten.
func (f *feed) isIdle() bool {
	f.unused++
	if f.used.Swap(false) {
		f.unused = 0
	}
	if f.table.nodes == 0 {
		return f.unused > 0
	}
	return f.unused >= idleChecks && f.failures == 0 && f.began.IsZero()
}

// ask has the registry asked soon.
func (f *feed) ask() {
	select {
	case f.asked <- struct{}{}:
	default:
	}
}

// await returns the snapshot once the registry was asked, if it was not just before.
func (f *feed) await(ctx context.Context, atMost time.Duration) (*snapshot, error) {
	ended, recent := f.nextLook()
	if recent {
		return f.answer()
	}
	f.ask()
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-ended:
	case <-ctx.Done():
	case <-timer.C:
	case <-f.ctx.Done():
	}
	return f.answer()
}

// nextLook returns what is closed when the next look has ended, and tells whether the
// last one is too recent for another.
func (f *feed) nextLook() (ended <-chan struct{}, recent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pause := emptyPause
	if f.known.Err != nil {
		pause = errorPause
	}
	return f.wait, !f.ended.IsZero() && time.Since(f.ended) < pause
}

// answer is what there is to say of the service.
func (f *feed) answer() (*snapshot, error) {
	if s := f.current.Load(); s != nil {
		if len(s.services) == 0 {
			return nil, selector.ErrNotFound
		}
		return s, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known.Err != nil {
		return nil, f.known.Err
	}
	return nil, fmt.Errorf("the registry %q has not answered yet", f.source.String())
}

// look asks the registry for all nodes, unless it is being asked.
func (f *feed) look() {
	now := time.Now()
	f.due = now.Add(lostAfter) // if it has not ended by then
	if f.looks >= mostLooks || !f.began.IsZero() && now.Sub(f.began) < lostAfter {
		return
	}
	f.looks++
	f.number++
	f.began, f.journal = now, nil
	go func(number int) {
		services, err := f.source.GetService(f.name)
		f.looked <- look{number, services, err} // there is room for all that are made
	}(f.number)
}

// jittered is d, a fifth more or less.
func (f *feed) jittered(d time.Duration) time.Duration {
	return d*4/5 + time.Duration(rand.Int64N(int64(d)*2/5+1))
}

// take takes what the registry answered. What it told meanwhile is newer.
func (f *feed) take(got look) {
	f.looks--
	if got.number != f.number {
		return // it took so long that another was made
	}
	now := time.Now()
	f.began = time.Time{}
	if got.err != nil && !errors.Is(got.err, registry.ErrNotFound) {
		f.failures++
		f.due = now.Add(f.jittered(min(f.settings.resync, time.Second<<min(f.failures-1, 10))))
		f.conclude(now, got.err, false)
		return
	}
	f.failures = 0
	f.due = now.Add(f.jittered(f.settings.resync))
	changed := f.replace(got.services, now) || !f.complete
	f.complete = true
	journal := f.journal
	f.journal = nil
	for _, event := range journal {
		if f.apply(event, now) {
			changed = true
			f.recheck(now) // the two disagree
		}
	}
	if f.missed || !f.keepUntil.IsZero() {
		f.missed = false
		f.recheck(now)
	}
	f.conclude(now, nil, changed)
}

// replace takes over what the registry tells. One that knows no node any more may have
// been restarted; its nodes register again one by one, and until then are there.
func (f *feed) replace(services []*registry.Service, now time.Time) (changed bool) {
	empty := countNodes(services) == 0
	if empty && f.table.nodes > 0 && f.keepUntil.IsZero() {
		f.keepUntil = now.Add(f.settings.keep)
	}
	if now.Before(f.keepUntil) {
		return !empty && f.table.merge(services, f.joined())
	}
	f.keepUntil = time.Time{}
	return f.table.replace(services, f.joined())
}

// joined is when a node joined that is seen now.
func (f *feed) joined() time.Duration {
	if !f.complete {
		return alwaysThere
	}
	return time.Since(f.clock)
}

// takeEvents takes what the watcher has told.
func (f *feed) takeEvents() {
	events, missed := f.inbox.take()
	now := time.Now()
	if missed {
		f.missed = !f.began.IsZero() // what is being told may be older
		f.recheck(now)
	}
	changed := false
	for _, event := range events {
		changed = f.apply(event, now) || changed
	}
	if !f.began.IsZero() {
		f.journal = append(f.journal, events...)
	}
	if changed {
		f.recheck(now)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.publish(now)
	}
}

// apply changes the table as an event says, and tells whether it has changed.
func (f *feed) apply(event *registry.Result, now time.Time) (changed bool) {
	if event.Service.Name != f.name {
		return false
	}
	switch event.Action {
	case "create", "update":
		return f.table.merge([]*registry.Service{event.Service}, f.joined())
	case "delete":
		if !f.forgotten(event.Service) {
			return f.table.delete(event.Service)
		}
		if f.keepUntil.IsZero() {
			f.keepUntil = now.Add(f.settings.keep)
		}
		f.ask()
		return false
	default:
		f.ask()
		return false
	}
}

// forgotten tells whether nodes may only be forgotten that are told to be gone: a
// registry that has lost its memory tells so of all at once, and of several that have
// not registered again when others have.
func (f *feed) forgotten(service *registry.Service) bool {
	return f.table.empties(service) || !f.keepUntil.IsZero() && len(service.Nodes) > 1
}

// recheck has the registry asked soon.
func (f *feed) recheck(now time.Time) {
	if at := now.Add(f.jittered(recheckAfter)); at.Before(f.due) {
		f.due = at
	}
}

// conclude publishes what a look has changed, and tells whoever waits for its end.
func (f *feed) conclude(now time.Time, err error, changed bool) {
	f.enter(now, err, changed)
	if len(f.settings.hooks) == 0 {
		return
	}
	if s := f.status(); s.Stale() != f.stale {
		f.stale = s.Stale()
		for _, hook := range f.settings.hooks {
			hook(s)
		}
	}
}

// enter is conclude without what hooks are told.
func (f *feed) enter(now time.Time, err error, changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if changed {
		f.publish(now)
	}
	f.ended, f.known.Err = now, err
	if err == nil {
		f.known.Seen = now
	}
	f.known.Kept = !f.keepUntil.IsZero()
	close(f.wait)
	f.wait = make(chan struct{})
}

// publish makes what the table has the snapshot. The feed must be locked, so that its
// status is never of another one.
func (f *feed) publish(now time.Time) {
	s := f.table.snapshot(f.origin)
	f.current.Store(s)
	f.known.Nodes, f.known.Changed = len(s.members), now
}

func (f *feed) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.known
	s.InFlight = f.current.Load().inFlight()
	if !s.Seen.IsZero() {
		s.Age = time.Since(s.Seen)
	}
	return s
}
