package page

import (
	"time"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// mostCalls is how many calls are remembered.
const mostCalls = 200

// call is one call to hello-srv and its story.
type call struct {
	Number   uint64    `json:"number"` // counts from 1
	EndedAt  int64     `json:"ended_at"`
	Endpoint string    `json:"endpoint"`
	Millis   float64   `json:"millis"`
	Saved    string    `json:"saved"` // "retry" or "hedge": what it would have failed without
	Error    string    `json:"error"` // empty: it was answered
	Attempts []attempt `json:"attempts"`
}

// attempt is one of a call's.
type attempt struct {
	Number  int     `json:"number"`
	Address string  `json:"address"`
	Class   string  `json:"class"` // "answered", or how it failed
	Failed  bool    `json:"failed"`
	Hedge   bool    `json:"hedge"`
	Millis  float64 `json:"millis"`
	Reason  string  `json:"reason"`
}

// calls are the latest. The zero value has none.
type calls struct {
	ring [mostCalls]call
	made uint64
}

func (c *calls) add(e *wrapper.CallEnded, now time.Time) {
	c.made++
	c.ring[c.made%mostCalls] = callOf(e, c.made, now)
}

// after returns those with a greater number, oldest first, as far as they are remembered.
func (c *calls) after(number uint64) []call {
	first := number + 1
	if c.made > mostCalls {
		first = max(first, c.made-mostCalls+1)
	}
	some := make([]call, 0, c.made+1-first)
	for n := first; n <= c.made; n++ {
		some = append(some, c.ring[n%mostCalls])
	}
	return some
}

func callOf(e *wrapper.CallEnded, number uint64, now time.Time) call {
	shown := call{
		Number: number, EndedAt: now.UnixMilli(), Endpoint: e.Endpoint, Millis: millis(e.Took),
		Attempts: make([]attempt, len(e.Attempts)),
	}
	if saved := e.Saved(); saved != wrapper.SavedByNothing {
		shown.Saved = saved.String()
	}
	if e.Err != nil {
		shown.Error = merrors.Parse(e.Err.Error()).Detail
	}
	for i, a := range e.Attempts {
		shown.Attempts[i] = attempt{
			Number: a.Number, Address: a.Address, Class: a.Class.String(), Failed: a.Class != retryfunc.None,
			Hedge: a.Hedge, Millis: millis(a.Duration), Reason: string(a.Reason),
		}
		if a.Class == retryfunc.None {
			shown.Attempts[i].Class = "answered"
		}
	}
	return shown
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
