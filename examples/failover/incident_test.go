package main

import (
	"net/http"
	"reflect"
	"testing"
	"time"
)

func TestEffortIn(t *testing.T) {
	for _, tt := range []struct {
		attempts, failed string
		want             effort
	}{
		{"", "", effort{}},
		{"1", "", effort{attempts: 1}},
		{"3", "127.0.0.1:1 not sent, 127.0.0.1:2 broken", effort{3, []failedAttempt{
			{"127.0.0.1:1", "not sent"}, {"127.0.0.1:2", "broken"},
		}}},
	} {
		header := http.Header{}
		header.Set("Attempts", tt.attempts)
		header.Set("Failed-Attempts", tt.failed)
		if got := effortIn(header); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q, %q: %+v, want %+v", tt.attempts, tt.failed, got, tt.want)
		}
	}
}

// TestFeelCountsWhatMetTheFaults: the dead one is dead from 10 s to 12.5 s, the
// frozen one from 20 s to 22 s.
func TestFeelCountsWhatMetTheFaults(t *testing.T) {
	const dead, cold = "127.0.0.1:1", "127.0.0.1:2"
	at := func(seconds float64) time.Time { return time.Unix(0, int64(seconds*1e9)) }
	happened := incidents{
		death:  incident{address: dead, from: at(10), until: at(12.5)},
		freeze: incident{address: cold, from: at(20), until: at(22)},
	}
	made := func(from, until float64, failed ...failedAttempt) call {
		return call{began: at(from), took: at(until).Sub(at(from)), taken: effort{len(failed) + 1, failed}}
	}
	calls := []call{
		made(9, 9.5, failedAttempt{dead, "broken"}),                                      // before
		made(9.9, 10.1, failedAttempt{dead, "broken"}),                                   // in flight
		made(11, 11.1, failedAttempt{dead, "not sent"}, failedAttempt{cold, "not sent"}), // one of them counts
		made(12.6, 12.7, failedAttempt{dead, "not sent"}),                                // restarted
		made(19.9, 20.5, failedAttempt{cold, "timeout"}),
		made(21, 23, failedAttempt{cold, "timeout"}, failedAttempt{dead, "timeout"}, failedAttempt{cold, "timeout"}),
		made(21, 21.1, failedAttempt{cold, "broken"}),
		made(22.5, 23, failedAttempt{cold, "timeout"}), // thawed
	}
	var r result
	r.feel(calls, happened)
	if r.onDead != 2 || r.mostOnDead != ejectionThreshold+concurrency+3 || r.onFrozen != 3 || r.worstOnFrozen != 2 {
		t.Errorf("got %+v", r)
	}
}
