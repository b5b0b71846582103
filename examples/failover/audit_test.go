package main

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
)

var errCall = errors.New("502 Bad Gateway")

func TestAuditComparesWhatWasSaidWithTheLedger(t *testing.T) {
	where := inFile(t.TempDir())
	book, err := ledger.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	for id, key := range map[string]string{
		"1": "run-once", "2": "run-twice", "3": "run-twice", "4": "run-unacknowledged", "5": "run-failed-twice",
		"6": "run-failed-twice", "7": "run-failed-twice", "8": "earlier-twice", "9": "earlier-twice",
	} {
		if _, err := book.Add(t.Context(), ledger.Transfer{ID: id, Student: "s", AmountCents: 1, Key: key, At: time.Now()}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	calls := []call{
		{op: opTip, key: "run-once", took: 1},
		{op: opTip, key: "run-twice", took: 2},
		{op: opTip, key: "run-lost", took: 3},
		{op: opTip, key: "run-unacknowledged", err: errCall, took: 4},
		{op: opTip, key: "run-failed-twice", err: errCall, took: 5},
		{op: opTip, key: "run-never", err: errCall, took: 6},
		{op: opGreet, taken: effort{attempts: 2}, took: 7},
		{op: opGreet, taken: effort{attempts: 1}, took: 8},
		{op: opBalance, took: 9},
	}
	got, err := audit(t.Context(), arm{}, calls, where, "run-")
	if err != nil {
		t.Fatal(err)
	}
	if got.calls != 9 || got.failed != 3 || got.acknowledged != 3 || got.rows != 7 ||
		got.duplicates != 2 || got.lost != 1 || got.retried != 1 {
		t.Errorf("got %+v", got)
	}
	if got.p50 != 5 || got.p99 != 9 || got.max != 9 {
		t.Errorf("p50 %d, p99 %d, max %d", got.p50, got.p99, got.max)
	}
	if !errors.Is(got.failure, errCall) {
		t.Errorf("failure = %v", got.failure)
	}
}

func TestAuditNamesALedgerThatItCannotRead(t *testing.T) {
	if _, err := audit(t.Context(), arm{}, nil, inFile(filepath.Join(t.TempDir(), "missing")), ""); err == nil {
		t.Error("no error")
	}
}

func TestLatenciesByNearestRank(t *testing.T) {
	for _, tt := range []struct {
		n             int
		p50, p99, max time.Duration
	}{
		{0, 0, 0, 0}, {1, 1, 1, 1}, {2, 1, 2, 2}, {100, 50, 99, 100}, {101, 51, 100, 101}, {1000, 500, 990, 1000},
	} {
		calls := make([]call, tt.n)
		for i := range calls {
			calls[i].took = time.Duration(tt.n - i)
		}
		if p50, p99, longest := latencies(calls); p50 != tt.p50 || p99 != tt.p99 || longest != tt.max {
			t.Errorf("%d calls: %d, %d, %d, want %d, %d, %d", tt.n, p50, p99, longest, tt.p50, tt.p99, tt.max)
		}
	}
}
