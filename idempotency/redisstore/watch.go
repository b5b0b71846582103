package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// errClosed is returned by Watch after Close.
var errClosed = errors.New("redisstore: the store is closed")

// watches hands the messages of the store's one channel to those who watch
// their keys. Only what somebody watches is published, so the channel is quiet.
// PUBLISH reaches every node of a Redis Cluster, so that one connection to any
// of them serves.
type watches struct {
	subscription *redis.PubSub
	ended        chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	closed bool
	keys   map[idempotency.StoreKey]map[chan struct{}]struct{}
}

// subscribe returns when the server has confirmed the subscription.
func subscribe(ctx context.Context, client redis.UniversalClient, channel string) (*watches, error) {
	subscription := client.Subscribe(ctx)
	err := subscription.Subscribe(ctx, channel)
	if err == nil {
		_, err = subscription.ReceiveTimeout(ctx, 5*time.Second)
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to channel %q: %w", channel, errors.Join(err, subscription.Close()))
	}
	w := &watches{
		subscription: subscription,
		ended:        make(chan struct{}),
		keys:         make(map[idempotency.StoreKey]map[chan struct{}]struct{}),
	}
	go w.receive(subscription.ChannelWithSubscriptions())
	return w, nil
}

// receive ends when the subscription is closed.
func (w *watches) receive(events <-chan any) {
	defer close(w.ended)
	for event := range events {
		switch event := event.(type) {
		case *redis.Subscription: // after a lost connection: who knows what was missed
			w.wakeAll()
		case *redis.Message:
			if len(event.Payload) == len(idempotency.StoreKey{}) {
				w.wake(idempotency.StoreKey([]byte(event.Payload)))
			}
		}
	}
}

func (w *watches) add(key idempotency.StoreKey) (<-chan struct{}, func(), error) {
	wake := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, nil, errClosed
	}
	if w.keys[key] == nil {
		w.keys[key] = make(map[chan struct{}]struct{})
	}
	w.keys[key][wake] = struct{}{}
	return wake, func() { w.remove(key, wake) }, nil
}

func (w *watches) remove(key idempotency.StoreKey, wake chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.keys[key], wake)
	if len(w.keys[key]) == 0 {
		delete(w.keys, key)
	}
}

func (w *watches) has(key idempotency.StoreKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.keys[key]) > 0
}

func (w *watches) wake(key idempotency.StoreKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wakeThese(w.keys[key])
}

func (w *watches) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, these := range w.keys {
		wakeThese(these)
	}
}

// wakeThese blocks for nobody: a watch that was told and has not looked yet
// needs no second word.
func wakeThese(these map[chan struct{}]struct{}) {
	for wake := range these {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// close wakes everybody for the last time.
func (w *watches) close() error {
	w.mu.Lock()
	closed := w.closed
	w.closed = true
	w.mu.Unlock()
	if closed {
		return nil
	}
	err := w.subscription.Close()
	<-w.ended
	w.wakeAll()
	return err
}
