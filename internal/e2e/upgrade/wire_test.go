package upgrade

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/servertest"
)

const (
	tip     = "bank.Bank.Tip"
	balance = "bank.Bank.Balance"
	order   = "shop.Shop.Order"
	minted  = "-" // a call that has no key of its caller's
)

// TestRollingUpgradeOnTheWire: clients and servers of both versions talk to each
// other, whatever happens meanwhile. Nothing is executed twice, no call is lost, and
// each is answered as it is between two of one version.
func TestRollingUpgradeOnTheWire(t *testing.T) {
	before, now := build(t, "node")
	postgres := servertest.StartPostgres(t)
	createBusiness(t, sqlPlace("pgx", postgres.DSN(), "transactional"))
	for _, transport := range []string{"mucp", "grpc"} {
		t.Run(transport, func(t *testing.T) {
			f := newFleet(t, before, now, transport, postgres.DSN())
			for _, part := range []struct {
				name string
				test func(*fleet)
			}{
				{"duplicates", (*fleet).duplicates},
				{"answers", (*fleet).answers},
				{"nested calls", (*fleet).nestedCalls},
				{"messages", (*fleet).messages},
				{"instances die", (*fleet).instancesDie},
				{"rolling restart", (*fleet).rollingRestart},
			} {
				ok := t.Run(part.name, func(t *testing.T) {
					outer := f.t
					f.t = t
					defer func() { f.t = outer }()
					part.test(f)
				})
				if !ok {
					t.FailNow() // what follows needs all instances
				}
			}
		})
	}
}

// duplicates: callers of both versions repeat each other's calls, and all get the one
// answer, of whichever version it is. Calls without a key are executed once each.
func (f *fleet) duplicates() {
	for range 50 {
		id := f.id("dup")
		var all []func() string
		for _, p := range f.everybody {
			all = append(all, f.begin(p, tip, "key-"+id, "ok/"+id))
		}
		answers := make(map[string]bool)
		for _, wait := range all {
			answers[wait()] = true
		}
		if len(answers) != 1 || answers["by bank-old"] == answers["by bank-new"] {
			f.t.Errorf("%s: the answers %v, want one", id, answers)
		}
		f.wantRows(id, 1)
	}
	for _, p := range f.callers {
		for range 20 {
			id := f.id("minted")
			f.wantAnswer(p, "by bank-", tip, minted, "ok/"+id)
			f.wantRows(id, 1)
		}
	}
}

// answers: how a handler ends is answered alike by either version to either version,
// the first time and to a duplicate.
func (f *fleet) answers() {
	for behaviour, want := range map[string]string{
		"ok": "by bank-", "declined": "error 402", "timeout": "error 408", "failed": "error 500", "plain": "error ",
		"busy": "error 503", "panic": "error 500",
	} {
		for _, method := range []string{tip, balance} {
			codes := make(map[string]string)
			for _, callee := range []*process{f.bankOld, f.bankNew} {
				for _, caller := range f.callers {
					id := f.id(behaviour)
					for range 2 {
						got := f.call(caller, method, "key-"+id, behaviour+"/"+id, callee)
						if !strings.HasPrefix(got, want) {
							f.t.Errorf("%s of %s asks %s for %s: %q, want %q", method, caller.name, callee.name, behaviour, got, want)
						}
						code, _, _ := strings.Cut(got, ":")
						if behaviour != "ok" {
							codes[code] = got
						}
					}
				}
			}
			if len(codes) > 1 {
				f.t.Errorf("%s, %s: answered with the codes %v", method, behaviour, codes)
			}
		}
	}
}

// nestedCalls: an order that one version begins, and the other does once more, has
// the bank paid once.
func (f *fleet) nestedCalls() {
	for _, shops := range [][2]*process{{f.shopOld, f.shopNew}, {f.shopNew, f.shopOld}} {
		for _, caller := range []*process{f.bankOld, f.bankNew} {
			for range 5 {
				id := f.id("order")
				f.wantAnswer(caller, "error 418", order, "key-"+id, "notdone@"+shops[0].name+"/"+id, shops[0])
				f.wantRows("order-"+id, 0)
				f.wantAnswer(caller, "by bank-", order, "key-"+id, "notdone@"+shops[0].name+"/"+id, shops[1])
				f.wantAnswer(caller, "by bank-", order, "key-"+id, "notdone@"+shops[0].name+"/"+id, shops[0])
				f.wantRows(id, 1)
				f.wantRows("order-"+id, 1)
			}
		}
	}
}

// messages: a message that is delivered twice is handled once where publisher and
// subscriber are of one version. Between the versions it has no identity, see
// CHANGELOG: it is handled each time, and never lost.
func (f *fleet) messages() {
	for _, publisher := range f.callers {
		for _, subscriber := range []*process{f.bankOld, f.bankNew} {
			id := f.id("message")
			message := publisher.does(f.t, "publish "+id+" ok/"+id)
			for n := range 2 {
				subscriber.want(f.t, fmt.Sprintf("deliver %s-%d %s", id, n, message), "handled")
			}
			want := 2
			if (publisher == f.shopOld) == (subscriber == f.bankOld) {
				want = 1
			}
			f.wantRows(id, want)
		}
	}
}

// instancesDie: the callers of either version move on from an instance of either
// version, which dies in the middle of their call or has died before it.
func (f *fleet) instancesDie() {
	for _, caller := range f.callers {
		for _, victim := range []**process{&f.bankOld, &f.bankNew} {
			f.dies(caller, *victim)
			program := f.now
			if victim == &f.bankOld {
				program = f.before
			}
			gone := *victim
			<-gone.ended
			f.leave(gone)
			*victim = f.start(program, "bank", gone.name)
		}
	}
}

// dies has an instance die in the middle of a call that it gets, makes some more, and
// wants all answered. One that has just joined is called by and by.
func (f *fleet) dies(caller, victim *process) {
	f.t.Helper()
	for n, after := 0, 0; after < 10; n++ {
		if n == 200 {
			f.t.Fatalf("%s was never called by %s", victim.name, caller.name)
		}
		id := f.id("exit")
		f.wantAnswer(caller, "by bank-", tip, minted, "exit@"+victim.name+"/"+id)
		f.wantRows(id, 1)
		select {
		case <-victim.ended:
			after++
		default:
			if n >= 20 {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
}

// rollingRestart: the bank is upgraded instance by instance, and back, while callers
// of both versions go on. None is stopped before the calls have ended that know no other:
// a call of the version before asks once who there is.
func (f *fleet) rollingRestart() {
	done := make(chan struct{})
	var group sync.WaitGroup
	var rounds []*atomic.Int64
	for _, caller := range f.callers {
		made := new(atomic.Int64)
		rounds = append(rounds, made)
		group.Go(func() { f.load(caller, made, done) })
	}
	first := f.bankOld
	f.start(f.now, "bank", "bank-newer")
	f.awaitRounds(rounds)
	f.stop(first)
	f.bankOld = f.start(f.before, "bank", "bank-back")
	f.awaitRounds(rounds)
	f.stop(f.bankNew)
	f.bankNew = f.start(f.now, "bank", "bank-again")
	close(done)
	group.Wait()
}

// awaitRounds waits until each caller has ended a round that it has begun since.
func (f *fleet) awaitRounds(rounds []*atomic.Int64) {
	f.t.Helper()
	for _, made := range rounds {
		enough := made.Load() + 2
		for end := time.Now().Add(time.Minute); made.Load() < enough; {
			if time.Now().After(end) {
				f.t.Fatal("a caller makes no more calls")
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// load has a caller make rounds of calls of each kind until done, and at least some.
func (f *fleet) load(caller *process, made *atomic.Int64, done <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-done:
			if n > 20 {
				return
			}
		default:
		}
		id := f.id("load")
		calls := map[string]func() string{
			"minted": f.begin(caller, tip, minted, "ok/minted-"+id),
			"own":    f.begin(caller, tip, "key-"+id, "ok/own-"+id),
			"again":  f.begin(caller, tip, "key-"+id, "ok/own-"+id),
			"safe":   f.begin(caller, balance, minted, "ok/safe-"+id),
		}
		for kind, wait := range calls {
			if got := wait(); !strings.HasPrefix(got, "by bank-") {
				f.t.Errorf("%s, %s %s: %q", caller.name, kind, id, got)
			}
		}
		f.wantRows("minted-"+id, 1)
		f.wantRows("own-"+id, 1)
		made.Add(1)
	}
}
