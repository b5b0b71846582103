// Package crash kills an instance at every step of an execution, and looks at
// what is left: of the ledger, and of the answer.
package crash

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/e2e/checkpoint"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/tcpproxy"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

func TestMain(m *testing.M) { bank.Main(m) }

const (
	// briefLease is for tests that orphan keys, and wait for its end.
	briefLease = time.Second
	// longLease is for those that must not.
	longLease = time.Minute
)

// mode is a kind of store and what becomes of orphans there. A transactional
// store has none.
type mode struct {
	kind   bank.Kind
	policy bank.Policy
}

func (m mode) String() string {
	if m.kind.Transactional() {
		return string(m.kind)
	}
	return string(m.kind) + " " + string(m.policy)
}

func modes() []mode {
	return []mode{
		{bank.Redis, bank.Hold}, {bank.Redis, bank.Rerun}, {bank.Redis, bank.Recover},
		{bank.MariaDB, ""}, {bank.Postgres, ""}, {bank.SQLite, ""},
	}
}

// scene is a fleet of three instances, whose connections to their store go
// through a proxy if it is a server.
type scene struct {
	*bank.Fleet
	mode  mode
	proxy *tcpproxy.Proxy // nil for SQLite
}

// eachScene runs a test in every mode and on every transport.
func eachScene(t *testing.T, lease time.Duration, test func(t *testing.T, s *scene)) {
	t.Parallel()
	for _, m := range modes() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel() // most of the time is spent in waiting for leases
			place := bank.Open(t, m.kind)
			for _, transport := range fixture.Transports() {
				t.Run(transport, func(t *testing.T) {
					s := &scene{mode: m}
					c := bank.Config{Takeover: m.policy, Lease: lease}
					if place.Server != nil {
						s.proxy = tcpproxy.Start(t, place.Server.Address())
						c.StoreAddress = s.proxy.Address()
					}
					s.Fleet = bank.Start(t, place, transport, 3, c)
					s.warm(t)
					test(t, s)
				})
			}
		})
	}
}

// warm makes one call, after which Redis knows the scripts.
func (s *scene) warm(t *testing.T) {
	t.Helper()
	if a := <-s.pay(t, t.Name()); a.err != nil {
		t.Fatal(bank.Story(a.err))
	}
}

// moment is a step of an execution at which its instance dies.
type moment struct {
	name string
	// arm prepares for the call under key, and returns what kills the instance
	// when it has come to the moment.
	arm func(t *testing.T, s *scene, key string) (strike func() *fixture.Node)
	// worked: the row is written, though perhaps not committed. recorded: the
	// store has the answer.
	worked, recorded bool
}

func moments() []moment {
	return []moment{
		{name: "before the work", arm: at(bank.Before)},
		{name: "between work and record", arm: at(bank.Worked), worked: true},
		{name: "while completing, before the store", arm: dropped, worked: true},
		{name: "while completing, after the store", arm: lost, worked: true, recorded: true},
		{name: "before the reply", arm: at(bank.Answered), worked: true, recorded: true},
	}
}

// at kills at a point that the process passes.
func at(point string) func(*testing.T, *scene, string) func() *fixture.Node {
	return func(t *testing.T, s *scene, key string) func() *fixture.Node {
		held := s.Director.Hold(point, key)
		return func() *fixture.Node {
			node := s.Node(t, held.Wait(t))
			node.Kill()
			return node
		}
	}
}

// completion is what the statement that completes an execution has and no other.
func (s *scene) completion() string {
	switch s.mode.kind {
	case bank.MariaDB:
		return "COMMIT"
	case bank.Postgres:
		return "commit"
	default:
		return bank.ReceiptPrefix
	}
}

// dropped kills when the completion has left the process, and not reached the
// store. SQLite completes inside the process.
func dropped(t *testing.T, s *scene, key string) func() *fixture.Node {
	held := s.Director.Hold(bank.Completing, key)
	return func() *fixture.Node {
		node := s.Node(t, held.Wait(t))
		if s.proxy == nil {
			node.Kill()
			return node
		}
		completion := s.complete(t, held)
		node.Kill()
		completion.Drop()
		return node
	}
}

// lost kills when the store has completed the execution, and its answer has not
// reached the process, which stands still meanwhile.
func lost(t *testing.T, s *scene, key string) func() *fixture.Node {
	if s.proxy == nil {
		return at(bank.Completed)(t, s, key)
	}
	held := s.Director.Hold(bank.Completing, key)
	return func() *fixture.Node {
		node := s.Node(t, held.Wait(t))
		completion := s.complete(t, held)
		node.Freeze()
		completion.LoseReply()
		completion.WaitLost(t)
		node.Kill()
		return node
	}
}

// complete lets the process that is held begin to complete, and holds what it
// sends at the proxy.
func (s *scene) complete(t *testing.T, held *checkpoint.Hold) *tcpproxy.Catch {
	t.Helper()
	completion := s.proxy.Catch(s.completion())
	held.Release("")
	completion.Wait(t)
	return completion
}

// legacy is what a crash leaves.
type legacy struct {
	acknowledged bool // the caller has a receipt; else the outcome is unknown to it
	rows         int
	executions   int
}

// promised is what the guarantees say.
func (m mode) promised(worked, recorded bool) legacy {
	rows := 0
	if worked {
		rows = 1
	}
	switch {
	case recorded:
		return legacy{true, 1, 1}
	case m.kind.Transactional():
		return legacy{true, 1, 2} // the first was rolled back
	case m.policy == bank.Hold:
		return legacy{false, rows, 1}
	case m.policy == bank.Rerun:
		return legacy{true, rows + 1, 2}
	case worked: // and recovered
		return legacy{true, 1, 1}
	default:
		return legacy{true, 1, 2}
	}
}

// TestCrash is the matrix: the caller's client retries on another instance.
func TestCrash(t *testing.T) {
	eachScene(t, briefLease, func(t *testing.T, s *scene) {
		for _, m := range moments() {
			t.Run(m.name, func(t *testing.T) {
				key := t.Name()
				strike := m.arm(t, s, key)
				answers := s.pay(t, key)
				node := strike()
				s.want(t, key, <-answers, s.mode.promised(m.worked, m.recorded))
				node.Restart()
			})
		}
	})
}

// answer is what a caller got.
type answer struct {
	receipt string
	err     error
}

// pay makes a call in the background.
func (s *scene) pay(t *testing.T, key string, opts ...client.CallOption) <-chan answer {
	t.Helper()
	answers, c := make(chan answer, 1), s.Client(t)
	go func() {
		receipt, err := bank.Pay(t.Context(), c, key, opts...)
		answers <- answer{receipt, err}
	}()
	return answers
}

// want checks an answer and the ledger against what was promised, and that
// asking again, anywhere, gives the same answer and changes nothing.
func (s *scene) want(t *testing.T, key string, a answer, want legacy) {
	t.Helper()
	s.wantAnswer(t, a, want.acknowledged)
	for _, node := range s.Nodes {
		if node.PID() == 0 {
			continue
		}
		again := <-s.pay(t, key, client.WithAddress(node.Address()))
		s.wantAnswer(t, again, want.acknowledged)
		if again.receipt != a.receipt {
			t.Errorf("asked again, %s answered %q, first %q", node.ID(), again.receipt, a.receipt)
		}
	}
	rows := s.Place.Receipts(t, key)
	if len(rows) != want.rows {
		t.Errorf("rows %q, want %d", rows, want.rows)
	}
	if want.acknowledged && !slices.Contains(rows, a.receipt) {
		t.Errorf("acknowledged %q, rows %q", a.receipt, rows)
	}
	if n := s.Director.Count(bank.Before, key); n != want.executions {
		t.Errorf("%d executions, want %d", n, want.executions)
	}
}

func (s *scene) wantAnswer(t *testing.T, a answer, acknowledged bool) {
	t.Helper()
	if acknowledged {
		if a.err != nil || a.receipt == "" {
			t.Errorf("answer %q, %s", a.receipt, bank.Story(a.err))
		}
		return
	}
	mark, ok := retryfunc.ParseMark(a.err)
	if e := merrors.FromError(a.err); a.err == nil || e.Code != http.StatusConflict || !ok || mark.Kind != retryfunc.MarkUnknown {
		t.Errorf("answer %q, %s; want 409, outcome unknown", a.receipt, bank.Story(a.err))
	}
}

// TestWinnerDiesBeforeItsWaiters: duplicates on both other instances have seen
// it run.
func TestWinnerDiesBeforeItsWaiters(t *testing.T) {
	eachScene(t, briefLease, func(t *testing.T, s *scene) {
		key := t.Name() + "/call"
		held := s.Director.Hold(bank.Before, key)
		answers := []<-chan answer{s.pay(t, key)}
		winner := s.Node(t, held.Wait(t))
		for _, node := range s.Nodes {
			if node != winner {
				answers = append(answers, s.pay(t, key, client.WithAddress(node.Address())))
			}
		}
		for _, node := range s.Nodes {
			if node != winner {
				s.awaitRunning(t, key, func(process string) bool { return process == node.ID() })
			}
		}
		winner.Kill()
		promised := s.mode.promised(false, false)
		first := <-answers[0]
		for _, others := range answers[1:] {
			other := <-others
			s.wantAnswer(t, other, promised.acknowledged)
			if other.receipt != first.receipt {
				t.Errorf("one was answered %q, another %q", first.receipt, other.receipt)
			}
		}
		s.want(t, key, first, promised)
	})
}

// awaitRunning returns when an instance that suits has seen somebody else run
// the call.
func (s *scene) awaitRunning(t *testing.T, key string, suits func(process string) bool) {
	t.Helper()
	for n := 1; ; n++ {
		s.Director.Await(t, bank.Running, key, n)
		for _, v := range s.Director.Visits(bank.Running, key) {
			if suits(v.Process) {
				return
			}
		}
	}
}

// TestWaiterDies: its caller's retry joins the execution too.
func TestWaiterDies(t *testing.T) {
	eachScene(t, longLease, func(t *testing.T, s *scene) {
		key := t.Name() + "/call"
		held := s.Director.Hold(bank.Before, key)
		first := s.pay(t, key)
		winner := s.Node(t, held.Wait(t))
		var others []string
		for _, node := range s.Nodes {
			if node != winner {
				others = append(others, node.Address())
			}
		}
		second := s.pay(t, key, client.WithAddress(others...))
		s.Director.Await(t, bank.Running, key, 1)
		waiter := s.Director.Visits(bank.Running, key)[0]
		s.Node(t, waiter).Kill()
		s.awaitRunning(t, key, func(process string) bool { return process != waiter.Process })
		held.Release("")
		a, b := <-first, <-second
		if a.receipt != b.receipt {
			t.Errorf("the winner's caller was answered %q, the waiter's %q", a.receipt, b.receipt)
		}
		s.want(t, key, a, legacy{acknowledged: true, rows: 1, executions: 1})
	})
}
