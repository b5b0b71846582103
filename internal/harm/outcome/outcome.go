// Package outcome is what came of the calls of one arm.
package outcome

import (
	"regexp"
	"slices"
	"time"
)

// Call is how one call ended.
type Call struct {
	// Expected calls are those whose answer counts: their caller waits long enough.
	Expected bool `json:"expected"`
	// Answered: it returned the reply to this call, and no error.
	Answered bool `json:"answered"`
	// Took is how long it took to return, and Late how much of that was after
	// its deadline; negative if it returned before.
	Took time.Duration `json:"took"`
	Late time.Duration `json:"late"`
	// Hung calls had not returned when the arm stopped waiting.
	Hung bool `json:"hung"`
}

// Result is what came of an arm.
type Result struct {
	Calls []Call `json:"calls"`
	// Executed is how many orders were executed, by one endpoint each, and
	// Executions how often in all; Repeated orders were executed more than once.
	Executed   int `json:"executed"`
	Executions int `json:"executions"`
	Repeated   int `json:"repeated"`
	// Errors counts the errors of expected calls, by text without numbers.
	Errors map[string]int `json:"errors"`
}

var numbers = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|call-\S+|[0-9.]*[0-9]`)

// Kind is an error's text without what differs from call to call.
func Kind(err error) string {
	text := numbers.ReplaceAllString(err.Error(), "#")
	return text[:min(len(text), 200)]
}

// WithExecutions returns r and executions, counted by endpoint and order.
func (r Result) WithExecutions(journal map[string]int) Result {
	for _, n := range journal {
		r.Executed++
		r.Executions += n
		if n > 1 {
			r.Repeated++
		}
	}
	return r
}

// Expected returns how many calls should be answered, and how many were.
func (r Result) Expected() (calls, answered int) {
	for _, c := range r.Calls {
		if !c.Expected {
			continue
		}
		calls++
		if c.Answered {
			answered++
		}
	}
	return calls, answered
}

// LaterThan returns how many calls, expected or not, returned more than d after
// their deadline, or not at all.
func (r Result) LaterThan(d time.Duration) int {
	n := 0
	for _, c := range r.Calls {
		if c.Hung || c.Late > d {
			n++
		}
	}
	return n
}

// Latest returns how long after its deadline the last call returned that did.
func (r Result) Latest() time.Duration {
	var latest time.Duration
	for _, c := range r.Calls {
		latest = max(latest, c.Late)
	}
	return latest
}

// Took returns the quantile q of how long expected calls took to return.
func (r Result) Took(q float64) time.Duration {
	var all []time.Duration
	for _, c := range r.Calls {
		if c.Expected && !c.Hung {
			all = append(all, c.Took)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)]
}
