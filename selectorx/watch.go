package selectorx

import (
	"context"
	"time"

	"go-micro.dev/v4/registry"
)

// mostWatchPause bounds the pause before a watcher that failed is made again.
const mostWatchPause = 30 * time.Second

// watch hands what the registry's watcher tells to the feed, for as long as it lives. A
// watcher that must wait for its reader may lose events, so that nothing here waits.
func (f *feed) watch() {
	for failures := 0; f.ctx.Err() == nil; failures++ {
		began := time.Now()
		err := f.follow()
		f.noteWatch(err)
		if time.Since(began) > mostWatchPause {
			failures = 0
		}
		f.pause(f.jittered(min(mostWatchPause, errorPause<<min(failures, 10))))
	}
}

// follow makes a watcher and reads it until it fails, which it returns.
func (f *feed) follow() error {
	w, err := f.source.Watch(registry.WatchService(f.name))
	if err != nil {
		return err
	}
	release := context.AfterFunc(f.ctx, w.Stop)
	defer func() {
		if release() { // some watchers bear to be stopped only once
			w.Stop()
		}
	}()
	f.noteWatch(nil)
	f.inbox.miss() // what happened before it was there
	for {
		event, err := w.Next()
		if err != nil {
			return err
		}
		if event != nil && event.Service != nil {
			f.inbox.put(event)
		}
	}
}

func (f *feed) noteWatch(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known.WatchErr = err
}

func (f *feed) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ctx.Done():
	}
}
