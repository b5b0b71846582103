package redisstore

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

const patience = 20 * time.Second // ends tests that have failed

func watch(tb testing.TB, s *Store, key idempotency.StoreKey) <-chan struct{} {
	tb.Helper()
	wake, stop, err := s.Watch(tb.Context(), key)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(stop)
	return wake
}

func wantWoken(tb testing.TB, why string, wake <-chan struct{}) {
	tb.Helper()
	select {
	case <-wake:
	case <-time.After(patience):
		tb.Errorf("nobody was woken by %s", why)
	}
}

// TestWatchReports: each way in which a watch and a claim can follow each
// other, in one process or two.
func TestWatchReports(t *testing.T) {
	server := servertest.StartRedis(t)
	one, two := openURL(t, server.URL()), openURL(t, server.URL())
	t.Run("after the claim", func(t *testing.T) {
		c := newTestClaim(t, newKey(t))
		e := acquire(t, one, c)
		wakes := []<-chan struct{}{watch(t, one, c.Key), watch(t, two, c.Key), watch(t, two, c.Key)}
		complete(t, e, "record")
		for _, wake := range wakes {
			wantWoken(t, "the completion", wake)
		}
	})
	t.Run("before the claim", func(t *testing.T) {
		c := newTestClaim(t, newKey(t))
		wake := watch(t, one, c.Key)
		e := acquire(t, one, c)
		if err := e.Release(t.Context()); err != nil {
			t.Error(err)
		}
		wantWoken(t, "the release", wake)
	})
	t.Run("through a release and a claim by another", func(t *testing.T) {
		c := newTestClaim(t, newKey(t))
		e := acquire(t, one, c)
		wake := watch(t, two, c.Key)
		if err := e.Release(t.Context()); err != nil {
			t.Error(err)
		}
		wantWoken(t, "the release", wake)
		e = acquire(t, one, newTestClaim(t, c.Key))
		if out := begin(t, two, newTestClaim(t, c.Key)); out.State != idempotency.Running {
			t.Errorf("state = %v, want running", out.State)
		}
		complete(t, e, "record")
		wantWoken(t, "the completion", wake)
	})
	t.Run("through a takeover", func(t *testing.T) {
		c := newTestClaim(t, newKey(t))
		c.Lease = time.Millisecond
		acquire(t, one, c)
		wake := watch(t, two, c.Key)
		time.Sleep(5 * time.Millisecond)
		c.Owner, c.Lease, c.Takeover = newOwner(t), time.Minute, true
		complete(t, acquire(t, one, c), "record")
		wantWoken(t, "the completion", wake)
	})
}

// TestNothingIsPublishedUnwatched listens beside the stores.
func TestNothingIsPublishedUnwatched(t *testing.T) {
	server := servertest.StartRedis(t)
	client := dial(t, server)
	s := newTestStore(t, client)
	listener := client.Subscribe(t.Context(), s.channel())
	defer func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := listener.ReceiveTimeout(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		complete(t, acquire(t, s, newTestClaim(t, newKey(t))), "record")
	}
	c := newTestClaim(t, newKey(t))
	e := acquire(t, s, c)
	watch(t, s, c.Key)
	complete(t, e, "record")
	event, err := listener.ReceiveTimeout(t.Context(), patience)
	if message, ok := event.(*redis.Message); err != nil || !ok || message.Payload != string(c.Key[:]) {
		t.Errorf("first message = %v, %v; want that of the watched key", event, err)
	}
}

// TestLostSubscription: who watches is woken when the connection is back, for
// nobody knows what it has missed.
func TestLostSubscription(t *testing.T) {
	server := servertest.StartRedis(t)
	client := dial(t, server)
	s := newTestStore(t, dial(t, server))
	c := newTestClaim(t, newKey(t))
	e := acquire(t, s, c)
	wake := watch(t, s, c.Key)
	if n, err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Int(); n != 1 || err != nil {
		t.Fatalf("%d subscriptions were cut, %v; want 1", n, err)
	}
	wantWoken(t, "the new subscription", wake)
	complete(t, e, "record")
	wantWoken(t, "the completion", wake)
}

// TestOneSubscription: all watches of a store share one connection.
func TestOneSubscription(t *testing.T) {
	server := servertest.StartRedis(t)
	client := dial(t, server)
	s := newTestStore(t, client)
	for range 100 {
		watch(t, s, newKey(t))
	}
	channels, err := client.PubSubNumSub(t.Context(), s.channel()).Result()
	if err != nil || channels[s.channel()] != 1 {
		t.Errorf("subscriptions = %v, %v; want 1", channels, err)
	}
}

// TestWatchesConcurrently runs everything beside everything, without a server.
func TestWatchesConcurrently(t *testing.T) {
	w := &watches{ended: make(chan struct{}), keys: make(map[idempotency.StoreKey]map[chan struct{}]struct{})}
	events := make(chan any)
	go w.receive(events)
	var senders, watchers sync.WaitGroup
	quit := make(chan struct{})
	for range 4 {
		senders.Go(func() {
			for {
				key := idempotency.StoreKey{byte(rand.IntN(3))}
				event := any(&redis.Message{Payload: string(key[:])})
				if rand.IntN(4) == 0 {
					event = &redis.Subscription{}
				}
				select {
				case events <- event:
				case <-quit:
					return
				}
			}
		})
		watchers.Go(func() {
			for i := range 50 {
				key := idempotency.StoreKey{byte(i % 3)}
				wake, stop, err := w.add(key)
				if err != nil || !w.has(key) {
					t.Errorf("add: %v, or it is not there", err)
				}
				wantWoken(t, "many messages", wake)
				stop()
			}
		})
	}
	watchers.Wait()
	close(quit)
	senders.Wait()
	events <- &redis.Message{Payload: "not a key"}
	close(events)
	<-w.ended
	if len(w.keys) != 0 {
		t.Errorf("%d keys are watched by nobody", len(w.keys))
	}
}

// TestCloseBesideWatch: Close waits for its goroutine and wakes who is left.
func TestCloseBesideWatch(t *testing.T) {
	server := servertest.StartRedis(t)
	s, err := Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	wake := watch(t, s, newKey(t))
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				_, stop, err := s.watches.add(newKey(t))
				if err != nil {
					return
				}
				stop()
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	group.Wait()
	wantWoken(t, "the end", wake)
}
