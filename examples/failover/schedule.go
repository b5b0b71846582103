package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/oncemore-dev/oncemore/examples/internal/control"
)

// schedule is what happens to the instances of a fleet by itself.
type schedule struct {
	// quiet is how long all of them run before the next is hurt: one after the other, by
	// a kill and by a freeze in turn.
	quiet time.Duration
	// dead is how long a dead instance stays so, and frozen how long a frozen one does,
	// whoever hurt it.
	dead, frozen time.Duration
}

// defaultSchedule freezes for less than user-api's callers wait.
func defaultSchedule() schedule {
	return schedule{quiet: 12 * time.Second, dead: 8 * time.Second, frozen: 4 * time.Second}
}

// tick is how often the schedule is looked at.
const tick = 100 * time.Millisecond

// supervise hurts and mends the instances until ctx ends, and tells what was done to them,
// by whomever.
func (f *fleet) supervise(ctx context.Context, s schedule, out io.Writer) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var told time.Time
	for turn := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if instance, action, hurts := f.due(s, turn); action != "" {
			if err := f.Do(ctx, instance, action); err != nil {
				fmt.Fprintf(out, "%s %s: %v\n", action, instance, err)
			} else if hurts {
				turn++
			}
		}
		for _, i := range f.Look().Incidents {
			if i.At.After(told) {
				fmt.Fprintf(out, "%s  %s %s\n", i.At.Format(time.TimeOnly), i.Action, i.Instance)
				told = i.At
			}
		}
	}
}

// due returns what is to be done now, if anything: mend what was hurt, or, where all have
// run for a while, hurt the one whose turn it is.
func (f *fleet) due(s schedule, turn int) (instance string, action control.Action, hurts bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, quiet := time.Now(), true
	for _, m := range f.members {
		switch age := now.Sub(m.since); {
		case m.busy:
			quiet = false
		case m.state == control.Running && m.hasEnded():
			m.state, m.since, quiet = control.Dead, now, false
		case m.state == control.Dead && age >= s.dead:
			return m.name, control.Restart, false
		case m.state == control.Frozen && age >= s.frozen:
			return m.name, control.Thaw, false
		case m.state != control.Running || age < s.quiet:
			quiet = false
		}
	}
	if !quiet {
		return "", "", false
	}
	action = control.Kill
	if turn%2 == 1 {
		action = control.Freeze
	}
	return f.members[turn%len(f.members)].name, action, true
}
