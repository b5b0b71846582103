package main

import (
	"context"
	"time"
)

// plan is when the faults happen, counted from the first call.
type plan struct {
	kill, restart, freeze, thaw, end time.Duration
}

// defaultPlan freezes for less than user-api's callers wait (5 s), so that a
// call can be saved by patience alone, and for longer than an attempt may take
// (0.5 s).
func defaultPlan() plan {
	return plan{
		kill:    1 * time.Second,
		restart: 3 * time.Second,
		freeze:  4 * time.Second,
		thaw:    6 * time.Second,
		end:     7500 * time.Millisecond,
	}
}

// The instances that are hurt, by their place in the cluster.
const (
	killed = 1
	frozen = 2
)

// The instance that is slow all the time, and by how much in one call of ten.
const (
	slow     = 0
	slowness = 100 * time.Millisecond
)

// carryOut lets the faults happen, tells each to say, and returns what happened
// when the plan is through. What takes long, such as a restart on a busy machine,
// delays what follows: none of the times in between gets shorter.
func (p plan) carryOut(ctx context.Context, c *cluster, say func(string)) (incidents, error) {
	begin := time.Now() // where the plan starts, later by what took long
	victim, sleeper := c.instances[killed], c.instances[frozen]
	i := incidents{death: incident{address: victim.address}, freeze: incident{address: sleeper.address}}
	for _, step := range []struct {
		at   time.Duration
		what string
		when *time.Time
		do   func() error
	}{
		{p.kill, "kill " + victim.name + " (SIGKILL)", &i.death.from, victim.kill},
		{p.restart, "restart " + victim.name + " on the same port", &i.death.until, func() error { return victim.start(ctx) }},
		{p.freeze, "freeze " + sleeper.name + " (SIGSTOP)", &i.freeze.from, sleeper.freeze},
		{p.thaw, "thaw " + sleeper.name + " (SIGCONT)", &i.freeze.until, sleeper.thaw},
	} {
		if err := sleepUntil(ctx, begin.Add(step.at)); err != nil {
			return incidents{}, err
		}
		say(step.what)
		*step.when = time.Now()
		if err := step.do(); err != nil {
			return incidents{}, err
		}
		begin = begin.Add(time.Since(*step.when))
	}
	return i, sleepUntil(ctx, begin.Add(p.end))
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
