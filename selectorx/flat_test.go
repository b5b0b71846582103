package selectorx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

var errDown = errors.New("registry is down")

func TestFlatFollowsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := flatTown(t)

		r.set(nodes("1", "a", "b", "c"), nodes("2", "d"))
		r.tell("create", nodes("1", "c"))
		r.tell("create", nodes("2", "d"))
		synctest.Wait()
		wantSeen(t, f, "after two events", "a", "b", "c", "d")

		r.set(nodes("1", "a", "c"), nodes("2", "d"))
		r.tell("delete", nodes("1", "b"))
		synctest.Wait()
		wantSeen(t, f, "a deregistered node", "a", "c", "d")

		r.set(nodes("1", "a", "c"))
		r.tell("delete", nodes("2", "d"))
		synctest.Wait()
		wantSeen(t, f, "the last node of a version", "a", "c")

		moved := nodes("1", "a")
		moved.Nodes[0].Address = "e"
		r.set(nodes("1", "c"), moved)
		r.tell("update", moved)
		synctest.Wait()
		wantSeen(t, f, "a node that moved", "c", "e")
	})
}

func TestFlatDeregisteredLastNodeIsGoneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTown(nodes("1", "a"))
		f := flat(t, r)
		wantSeen(t, f, "at first", "a")
		synctest.Wait()
		r.set()
		r.tell("delete", nodes("1", "a"))
		synctest.Wait()
		if _, err := f.Select("hello"); !errors.Is(err, selector.ErrNotFound) {
			t.Errorf("error %v, want %v", err, selector.ErrNotFound)
		}
	})
}

// Events of go-micro's memory registry are sent by a goroutine each: they may be lost,
// and come in another order than what they tell happened.
func TestFlatHasNoGhosts(t *testing.T) {
	for name, events := range map[string]func(*town){
		"lost":       func(*town) {},
		"swapped":    func(r *town) { r.tell("delete", nodes("1", "b")); r.tell("update", nodes("1", "a", "b")) },
		"of a ghost": func(r *town) { r.tell("create", nodes("1", "ghost")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, f := flatTown(t)
				after(5 * time.Second)
				r.set(nodes("1", "a"))
				events(r)
				within := 2 * time.Second
				if name == "lost" {
					within = 40 * time.Second
				}
				after(within)
				wantSeen(t, f, "once the registry was asked", "a")
			})
		})
	}
}

// What a watcher tells while the registry is asked is newer than its answer.
func TestFlatEventsDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := flatTown(t)
		after(5 * time.Second)
		thaw := r.freeze()
		f.Reset("hello") // asks; the answer is made now
		synctest.Wait()
		r.set(nodes("1", "a", "c"))
		r.tell("delete", nodes("1", "b"))
		r.tell("create", nodes("1", "c"))
		synctest.Wait()
		wantSeen(t, f, "during the look", "a", "c")
		thaw()
		synctest.Wait()
		wantSeen(t, f, "after it", "a", "c")
	})
}

// mDNS tells of every node each time that anybody asks: to ask again because of that
// would never end.
func TestFlatDoesNotAskBecauseOfWhatItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := flatTown(t, WithResync(time.Hour))
		after(5 * time.Second)
		before, snapshot := r.questions(), f.known("hello")
		for range 100 {
			r.tell("create", nodes("1", "a"))
			r.tell("create", nodes("1", "b"))
			after(time.Second)
		}
		if asked := r.questions() - before; asked != 0 {
			t.Errorf("the registry was asked %d times because of events that tell nothing new", asked)
		}
		if f.known("hello") != snapshot {
			t.Error("the snapshot was made anew")
		}
	})
}

// A look that finds nothing new changes nothing, pointers of nodes included.
func TestFlatNodesAreStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := flatTown(t)
		before := f.known("hello")
		r.set(nodes("1", "b", "a")) // other pointers
		after(time.Minute)
		if f.known("hello") != before {
			t.Error("a look that found the same made a new snapshot")
		}
		r.set(nodes("1", "b", "a", "c"))
		after(time.Minute)
		now := f.known("hello")
		for _, address := range []string{"a", "b"} {
			was, _ := before.find(address)
			is, ok := now.find(address)
			if !ok || was != is {
				t.Errorf("%s is another node now: %v, %v", address, was, is)
			}
		}
	})
}

func TestFlatSurvivesADeadRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := flatTown(t)
		r.fail(errDown)
		r.breakWatchers()
		after(time.Hour / 2)
		wantSeen(t, f, "half an hour later", "a", "b")
		s := statusOf(t, f)
		if !errors.Is(s.Err, errDown) {
			t.Errorf("status says %v, want %v", s.Err, errDown)
		}
		if s.Age < 29*time.Minute {
			t.Errorf("status says that the snapshot is %v old", s.Age)
		}
		r.fail(nil)
		r.set(nodes("1", "c"))
		after(time.Minute)
		wantSeen(t, f, "when it is back", "c")
		if s := statusOf(t, f); s.Err != nil || s.Nodes != 1 || s.Age > time.Minute {
			t.Errorf("status %+v", s)
		}
	})
}

// TestStatusHookTellsOfChanges: once when the snapshot turns stale, and once when it is
// fresh again, whatever the registry is asked meanwhile.
func TestStatusHookTellsOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		r, f := flatTown(t, WithStatusHook(func(s Status) { told = append(told, fmt.Sprint(s.Service, " ", s.Stale(), " ", s.Err)) }))
		after(time.Minute)
		r.fail(errDown)
		after(10 * time.Minute)
		r.fail(nil)
		after(time.Minute)
		synctest.Wait()
		wantSeen(t, f, "in the end", "a", "b")
		want := []string{"hello true " + errDown.Error(), "hello false <nil>"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// A request that hangs costs no call anything, and the next one is made all the same.
func TestFlatSurvivesAHangingRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTown(nodes("1", "a"))
		f := flat(t, r)
		wantSeen(t, f, "at first", "a")
		synctest.Wait()
		thaw := r.freeze()
		after(10 * time.Minute)
		began := time.Now()
		wantSeen(t, f, "while it hangs", "a")
		if took := time.Since(began); took != 0 {
			t.Errorf("a selection took %v", took)
		}
		if asked := r.questions(); asked > 2+mostLooks {
			t.Errorf("the registry was asked %d times while it hung", asked)
		}
		r.set(nodes("1", "b"))
		thaw()
		after(2 * time.Minute)
		wantSeen(t, f, "when it answers", "b")
	})
}

// A registry that was restarted has forgotten all nodes until they register again.
func TestFlatKeepsWhatAnEmptiedRegistryForgot(t *testing.T) {
	for name, forget := range map[string]func(*town){
		"found by a look":  func(r *town) { r.set() },
		"no node":          func(r *town) { r.set(nodes("1")) },
		"told by an event": func(r *town) { r.set(); r.tell("delete", nodes("1", "a", "b", "c")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newTown(nodes("1", "a", "b", "c"))
				f := flat(t, r)
				wantSeen(t, f, "at first", "a", "b", "c")
				synctest.Wait()
				forget(r)
				f.Reset("hello")
				after(10 * time.Second)
				wantSeen(t, f, "soon", "a", "b", "c")
				if !statusOf(t, f).Kept {
					t.Error("status does not say that they are kept")
				}
				r.tell("delete", nodes("1", "c"))
				synctest.Wait()
				wantSeen(t, f, "one that is deregistered", "a", "b")
				r.set(nodes("1", "d"))
				r.tell("create", nodes("1", "d"))
				r.tell("delete", nodes("1", "a", "b")) // as a watcher does that compares
				after(2 * time.Second)
				wantSeen(t, f, "one that has registered again", "a", "b", "d")
				after(40 * time.Second)
				wantSeen(t, f, "in the end", "d")
				if statusOf(t, f).Kept {
					t.Error("status says that they are kept")
				}
			})
		})
	}
}

func TestFlatForgetsInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := flatTown(t, WithResync(5*time.Second))
		r.set()
		after(20 * time.Second)
		wantSeen(t, f, "soon", "a", "b")
		after(30 * time.Second)
		if _, err := f.Select("hello"); !errors.Is(err, selector.ErrNotFound) {
			t.Errorf("error %v, want %v", err, selector.ErrNotFound)
		}
	})
}

func TestFlatAsksForAnUnknownServiceOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTown()
		f := flat(t, r)
		for range 1000 {
			if _, err := f.Select("hello"); !errors.Is(err, selector.ErrNotFound) {
				t.Fatalf("error %v, want %v", err, selector.ErrNotFound)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if asked := r.questions(); asked < 8 || asked > 14 {
			t.Errorf("asked %d times in 10 seconds", asked)
		}
		r.set(nodes("1", "a"))
		time.Sleep(emptyPause)
		wantSeen(t, f, "once it is there", "a")
	})
}

// mDNS: a service that registers after a look found nothing is told of by the watcher.
func TestFlatLearnsOfANewServiceByEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTown()
		f := flat(t, r)
		wantSeen(t, f, "at first")
		synctest.Wait()
		r.set(nodes("1", "a"))
		r.tell("create", nodes("1", "a"))
		synctest.Wait()
		wantSeen(t, f, "after the event", "a")
	})
}

func TestFlatFirstWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTown(nodes("1", "a"))
		thaw := r.freeze()
		f := flat(t, r, WithFirstWait(3*time.Second))
		began := time.Now()
		_, err := f.Select("hello")
		if took := time.Since(began); err == nil || took != 3*time.Second {
			t.Errorf("error %v after %v, want one after 3s", err, took)
		}
		if err == nil || !strings.Contains(err.Error(), "has not answered") {
			t.Errorf("error %v does not say why", err)
		}
		thaw()
		synctest.Wait()
		wantSeen(t, f, "once it has answered", "a")
	})
}

func TestFlatPassesOnTheRegistrysError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTown(nodes("1", "a"))
		r.fail(errDown)
		f := flat(t, r)
		if _, err := f.Select("hello"); !errors.Is(err, errDown) {
			t.Errorf("error %v, want %v", err, errDown)
		}
		r.fail(nil)
		time.Sleep(errorPause)
		wantSeen(t, f, "once it answers", "a")
	})
}

func TestFlatForgetsWhatNobodyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTown(nodes("1", "a"))
		f := flat(t, r, WithIdle(10*time.Minute))
		for range 30 { // a call a minute keeps it
			wantSeen(t, f, "in use", "a")
			time.Sleep(time.Minute)
		}
		if n := len(f.Status()); n != 1 {
			t.Fatalf("%d services are watched, want 1", n)
		}
		after(12 * time.Minute)
		if n := len(f.Status()); n != 0 {
			t.Errorf("%d services are watched, want none", n)
		}
		r.mu.Lock()
		watchers := len(r.watchers)
		r.mu.Unlock()
		if watchers != 0 {
			t.Errorf("%d watchers are left", watchers)
		}
		wantSeen(t, f, "when it is called again", "a")
	})
}

func TestFlatMakesABrokenWatcherAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTown(nodes("1", "a"))
		f := flat(t, r, WithResync(time.Hour))
		wantSeen(t, f, "at first", "a")
		synctest.Wait()
		after(5 * time.Second)
		r.mu.Lock()
		r.noWatch = errDown
		r.mu.Unlock()
		r.breakWatchers()
		after(time.Second)
		if s := statusOf(t, f); !errors.Is(s.WatchErr, errDown) {
			t.Errorf("status says %v, want %v", s.WatchErr, errDown)
		}
		r.set(nodes("1", "a", "b")) // nobody is told
		r.mu.Lock()
		r.noWatch = nil
		r.mu.Unlock()
		after(time.Minute)
		wantSeen(t, f, "what was missed meanwhile", "a", "b")
		if s := statusOf(t, f); s.WatchErr != nil {
			t.Errorf("status says %v", s.WatchErr)
		}
	})
}

func TestFlatChangesItsRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := newTown(nodes("1", "a")), newTown(nodes("1", "b"))
		f := flat(t, one)
		wantSeen(t, f, "at first", "a")
		synctest.Wait()
		if err := f.Init(selector.Registry(other)); err != nil {
			t.Fatal(err)
		}
		wantSeen(t, f, "afterwards", "b")
		synctest.Wait()
		one.mu.Lock()
		defer one.mu.Unlock()
		if len(one.watchers) != 0 {
			t.Error("the old registry is watched")
		}
	})
}

func TestFlatWorksAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := flatTown(t)
		for range 2 {
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r.set(nodes("1", "c"))
		wantSeen(t, f, "closed", "c")
		r.set()
		if _, err := f.Select("hello"); !errors.Is(err, selector.ErrNotFound) {
			t.Errorf("error %v, want %v", err, selector.ErrNotFound)
		}
		r.fail(errDown)
		if _, err := f.Select("hello"); !errors.Is(err, errDown) {
			t.Errorf("error %v, want %v", err, errDown)
		}
		if n := len(f.Status()); n != 0 {
			t.Errorf("%d services are watched", n)
		}
	})
}

// A strategy or filter of the user's may do to what it gets whatever it likes, as it
// may with go-micro's selector.
func TestFlatIsNotHarmedByStrategiesAndFilters(t *testing.T) {
	r := newTown(nodes("1", numbered(9)...))
	f := flat(t, r)
	vandal := func(services []*registry.Service) []*registry.Service {
		for _, s := range services {
			slices.Reverse(s.Nodes)
			for _, n := range s.Nodes {
				n.Address = "gone"
			}
			s.Nodes = s.Nodes[:1]
		}
		return services
	}
	strategy := func(services []*registry.Service) selector.Next { return selector.Random(vandal(services)) }
	call := balancer(t).NewCall(true)
	for name, opts := range map[string][]selector.SelectOption{
		"strategy":              {selector.WithStrategy(strategy)},
		"filter":                {selector.WithFilter(vandal)},
		"strategy under a Call": {selector.WithStrategy(strategy), call.SelectOption()},
		"filter under a Call":   {selector.WithFilter(vandal), call.SelectOption()},
		"strategy under a Choice": {selector.WithStrategy(strategy), func(o *selector.SelectOptions) {
			Choose(t.Context(), o, pickerFunc(func(c *Choice) (*registry.Node, error) { return call.PickFrom(c, true) }))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			next, err := f.Select("hello", opts...)
			if err != nil {
				t.Fatal(err)
			}
			if got := pick(t, next); got != "gone" {
				t.Errorf("picked %s, want what the user's own has made of it", got)
			}
			wantSeen(t, f, "afterwards", numbered(9)...)
		})
	}
}

type pickerFunc func(*Choice) (*registry.Node, error)

func (f pickerFunc) PickNode(c *Choice) (*registry.Node, error) { return f(c) }

func TestFlatHonoursFiltersAndStrategies(t *testing.T) {
	labelled := nodes("2", "c", "d")
	labelled.Nodes[0].Metadata = map[string]string{"zone": "x"}
	labelled.Endpoints = []*registry.Endpoint{{Name: "Say.Hello"}}
	f := flat(t, newTown(nodes("1", "a", "b"), labelled))
	for name, tt := range map[string]struct {
		opts []selector.SelectOption
		want []string
	}{
		"none":          {nil, []string{"a", "b", "c", "d"}},
		"Random":        {[]selector.SelectOption{selector.WithStrategy(selector.Random)}, []string{"a", "b", "c", "d"}},
		"RoundRobin":    {[]selector.SelectOption{selector.WithStrategy(selector.RoundRobin)}, []string{"a", "b", "c", "d"}},
		"NewRoundRobin": {[]selector.SelectOption{selector.WithStrategy(NewRoundRobin())}, []string{"a", "b", "c", "d"}},
		"nil":           {[]selector.SelectOption{selector.WithStrategy(nil)}, []string{"a", "b", "c", "d"}},
		"the user's":    {[]selector.SelectOption{selector.WithStrategy(first)}, []string{"a"}},
		"by version":    {[]selector.SelectOption{selector.WithFilter(selector.FilterVersion("2"))}, []string{"c", "d"}},
		"by label":      {[]selector.SelectOption{selector.WithFilter(selector.FilterLabel("zone", "x"))}, []string{"c"}},
		"by endpoint":   {[]selector.SelectOption{selector.WithFilter(selector.FilterEndpoint("Say.Hello"))}, []string{"c", "d"}},
		"both": {[]selector.SelectOption{
			selector.WithFilter(selector.FilterVersion("2")), selector.WithStrategy(first),
		}, []string{"c"}},
		"nil strategy, filtered": {[]selector.SelectOption{
			selector.WithFilter(selector.FilterVersion("1")), selector.WithStrategy(nil),
		}, []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, around := range []bool{false, true} {
				var got []string
				for range 200 {
					opts := slices.Clone(tt.opts)
					if around {
						opts = append(opts, new(Call).SelectOption())
					}
					next, err := f.Select("hello", opts...)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, pick(t, next))
				}
				if !slices.Equal(sorted(got), tt.want) {
					t.Errorf("around a Call %v: picked %v, want %v", around, sorted(got), tt.want)
				}
			}
		})
	}
	if _, err := f.Select("hello", selector.WithFilter(selector.FilterVersion("9"))); !errors.Is(err, selector.ErrNoneAvailable) {
		t.Errorf("a filter that leaves none: %v, want %v", err, selector.ErrNoneAvailable)
	}
}

func TestFlatServiceWithoutNodes(t *testing.T) {
	f := flat(t, newTown(nodes("1")))
	next, err := f.Select("hello")
	if err != nil {
		t.Fatal(err)
	}
	if node, err := next(); !errors.Is(err, selector.ErrNoneAvailable) {
		t.Errorf("Next = %v, %v, want %v", node, err, selector.ErrNoneAvailable)
	}
}

func TestNewFlatRefuses(t *testing.T) {
	for want, opt := range map[string]FlatOption{
		"selectorx: WithRegistry(nil): must be a registry":   WithRegistry(nil),
		"selectorx: WithResync(1ms): must be at least 1s":    WithResync(time.Millisecond),
		"selectorx: WithKeep(-1s): must be at least 0s":      WithKeep(-time.Second),
		"selectorx: WithKeep(2h0m0s): must be at most 1h":    WithKeep(2 * time.Hour),
		"selectorx: WithFirstWait(0s): must be at least 1ns": WithFirstWait(0),
		"selectorx: WithStatusHook(nil): must be a function": WithStatusHook(nil),
		"selectorx: WithIdle(0s): must be at least 1s":       WithIdle(0),
		"selectorx: nil FlatOption: leave it out instead":    nil,
	} {
		if f, err := NewFlat(opt); err == nil || err.Error() != want || f != nil {
			t.Errorf("NewFlat = %v, %v, want %q", f, err, want)
		}
	}
}
