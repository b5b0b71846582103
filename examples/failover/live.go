package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// livePause is what each caller waits between two calls, so that a machine that
	// shows the page has time for other things.
	livePause = 500 * time.Millisecond
	// leaveTime is how long the end may take.
	leaveTime = 20 * time.Second
)

var errHarm = errors.New("a tip was paid twice, or was lost")

// live keeps everything running, hurts the instances now and then, and serves a page that
// shows it, until ctx ends. Then it tells what came of it.
func live(ctx context.Context, out io.Writer, c config, s schedule, programs, dir string) (err error) {
	a := arms()[0]
	at, err := freePlaces(ctx, c)
	if err != nil {
		return err
	}
	if c.apiAddress != "" {
		at.api = c.apiAddress
	}
	fmt.Fprintf(out, "http://%s/\n\nbuilding and starting %d × hello-srv and user-api; Ctrl-C ends them …\n", at.api, c.instances)
	if err := build(ctx, programs); err != nil {
		return unlessInterrupted(ctx, err)
	}
	f := newFleet()
	lent, err := lend(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lent.close()) }()
	c.control, c.measured = lent.url, true
	cluster, err := startCluster(ctx, c, a, at, programs, dir)
	defer func() { err = errors.Join(err, cluster.end()) }()
	if err != nil {
		return unlessInterrupted(ctx, err)
	}
	f.take(cluster.instances)
	for _, p := range append([]*process{cluster.api}, cluster.instances...) {
		fmt.Fprintf(out, "%s  log %s  metrics http://%s/metrics\n", p.name, p.logPath, cmp.Or(p.metrics, at.api))
	}
	fmt.Fprintln(out, "ready; what is done to the instances:")

	// The calls that are under way in the end are finished.
	ctx, unhurried := ctx, context.WithoutCancel(ctx)
	l := newLoad(cluster.url, a.keyPrefix(time.Now()), mix())
	l.pause = livePause
	calls, err := l.drive(unhurried, 0, func(context.Context) error { return f.supervise(ctx, s, out) })
	if err != nil {
		return err
	}
	return leave(unhurried, out, cluster, lent, l.prefix, calls)
}

// unlessInterrupted is what went wrong at the start. Whoever interrupts it knows.
func unlessInterrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// leave ends the processes in order, so that nothing is under way any more, and tells
// what there was.
func leave(ctx context.Context, out io.Writer, c *cluster, lent *lentControl, prefix string, calls []call) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if err := errors.Join(lent.close(), c.api.stop(ctx), c.end()); err != nil {
		return err
	}
	r, err := audit(ctx, c.arm, calls, c.ledger, prefix)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n", summary(r))
	if r.duplicates > 0 || r.lost > 0 {
		return errHarm
	}
	return nil
}
