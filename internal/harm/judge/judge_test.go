package judge_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/judge"
	"github.com/oncemore-dev/oncemore/internal/harm/outcome"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const calls = 240

// arm is the outcome of calls of which some are answered, some of the others late.
func arm(answered, late int, by time.Duration) outcome.Result {
	r := outcome.Result{Calls: make([]outcome.Call, calls), Executed: calls, Executions: calls}
	for i := range r.Calls {
		r.Calls[i] = outcome.Call{Expected: true, Answered: i < answered, Late: -time.Second}
		if i >= calls-late {
			r.Calls[i].Late = by
		}
	}
	return r
}

func repeating(n int) outcome.Result {
	r := arm(calls, 0, 0)
	r.Repeated, r.Executions = n, calls+n
	return r
}

func hung() outcome.Result {
	r := arm(calls-1, 0, 0)
	r.Calls[calls-1] = outcome.Call{Expected: true, Hung: true}
	return r
}

func TestCell(t *testing.T) {
	whole := arm(calls, 0, 0)
	nested := cell.Cell{Workload: cell.Chain, Safety: cell.Neither}
	for name, tt := range map[string]struct {
		pair judge.Pair
		want string // in what is found; empty: nothing is
	}{
		"equal":                          {judge.Pair{Bare: whole, Wrapped: whole}, ""},
		"a few less":                     {judge.Pair{Bare: whole, Wrapped: arm(calls-3, 0, 0)}, ""},
		"many less":                      {judge.Pair{Bare: whole, Wrapped: arm(calls-30, 0, 0)}, "answers 210 of 240, bare 240 of 240"},
		"more":                           {judge.Pair{Bare: arm(calls-60, 0, 0), Wrapped: whole}, ""},
		"late":                           {judge.Pair{Bare: whole, Wrapped: arm(calls, 30, 80*time.Millisecond)}, "30 of 240 calls return more than 50ms after"},
		"late within grace":              {judge.Pair{Bare: whole, Wrapped: arm(calls, 30, 40*time.Millisecond)}, ""},
		"late, as bare":                  {judge.Pair{Bare: arm(calls, 1, 90*time.Millisecond), Wrapped: arm(calls, 30, 80*time.Millisecond)}, ""},
		"one very late":                  {judge.Pair{Bare: whole, Wrapped: arm(calls, 1, 2*time.Second)}, "1 calls return more than 1s after"},
		"one never":                      {judge.Pair{Bare: whole, Wrapped: hung()}, "or never"},
		"one never, bare too":            {judge.Pair{Bare: hung(), Wrapped: hung()}, ""},
		"repeats a safe order":           {judge.Pair{Cell: cell.Cell{Safety: cell.Safe}, Bare: whole, Wrapped: repeating(100)}, ""},
		"repeats a keyed order":          {judge.Pair{Cell: cell.Cell{Safety: cell.Keyed}, Bare: whole, Wrapped: repeating(1)}, "executes 1 of 240 orders again, bare 0"},
		"repeats an order":               {judge.Pair{Cell: cell.Cell{Safety: cell.Neither}, Bare: whole, Wrapped: repeating(1)}, "executes 1 of 240 orders again, bare 0"},
		"repeats as often as bare":       {judge.Pair{Cell: cell.Cell{Safety: cell.Neither}, Bare: repeating(3), Wrapped: repeating(3)}, ""},
		"repeats more than bare":         {judge.Pair{Cell: cell.Cell{Safety: cell.Neither}, Bare: repeating(3), Wrapped: repeating(4)}, "executes 4 of 240"},
		"nested, repeats more than bare": {judge.Pair{Cell: nested, Bare: repeating(3), Wrapped: repeating(7)}, ""},
		"nested, repeats far more":       {judge.Pair{Cell: nested, Bare: repeating(3), Wrapped: repeating(60)}, "executes 60 of 240"},
		"broken":                         {judge.Pair{Broken: "it panicked"}, "it panicked"},
		"proves nothing":                 {judge.Pair{Bare: arm(20, 0, 0), Wrapped: arm(20, 0, 0)}, "shows nothing: bare answers 20 of 240"},
	} {
		got := strings.Join(judge.New(64).Cell(tt.pair), "; ")
		if tt.want == "" && got != "" {
			t.Errorf("%s: found %q, want nothing", name, got)
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: found %q, want %q", name, got, tt.want)
		}
	}
}

// TestGroup: what is too little in one cell shows in all of them.
func TestGroup(t *testing.T) {
	j := judge.New(64)
	p := judge.Pair{Bare: arm(calls, 0, 0), Wrapped: arm(calls-6, 0, 0)}
	if got := j.Cell(p); len(got) > 0 {
		t.Errorf("one cell: found %v, want nothing", got)
	}
	if got := j.Group("client grpc", []judge.Pair{p, {Broken: "away"}}); len(got) > 0 {
		t.Errorf("a group of one: found %v, want nothing", got)
	}
	const want = "client grpc answers 1872 of 1920, bare 1920 of 1920"
	got := j.Group("client grpc", []judge.Pair{p, p, p, p, p, p, p, p})
	if len(got) != 1 || got[0] != want {
		t.Errorf("a group of eight: found %v, want %q", got, want)
	}
}

// TestGroupRepeats: the same for orders that are executed again.
func TestGroupRepeats(t *testing.T) {
	j := judge.New(64)
	p := judge.Pair{Cell: cell.Cell{Workload: cell.Fan, Safety: cell.Keyed}, Bare: arm(calls, 0, 0), Wrapped: repeating(4)}
	if got := j.Cell(p); len(got) > 0 {
		t.Errorf("one cell: found %v, want nothing", got)
	}
	const want = "safety keyed executes 40 of 2400 orders again, bare 0 of 2400"
	got := j.Group("safety keyed", []judge.Pair{p, p, p, p, p, p, p, p, p, p})
	if len(got) != 1 || got[0] != want {
		t.Errorf("a group of ten: found %v, want %q", got, want)
	}
}
