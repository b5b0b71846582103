package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// demonstrate puts every arm through the plan, prints what came of it, and
// returns an error if an arm's result is not what it should be. The programs
// are in programs; logs and ledgers go to dir.
func demonstrate(ctx context.Context, out io.Writer, c config, p plan, programs, dir string) error {
	var results []result
	for _, a := range arms() {
		r, err := a.run(ctx, out, c, p, programs, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		results = append(results, r)
	}
	return conclude(out, results)
}

// run puts one arm through the plan, with processes and a ledger of its own.
func (a arm) run(ctx context.Context, out io.Writer, c config, p plan, programs, dir string) (r result, err error) {
	own := filepath.Join(dir, strings.NewReplacer(",", "", " ", "-").Replace(a.name))
	if err := os.Mkdir(own, 0o700); err != nil {
		return result{}, err
	}
	fmt.Fprintf(out, "\n%s\n", a.name)
	cluster, err := startCluster(ctx, c, a, programs, own)
	defer func() { err = errors.Join(err, cluster.end()) }()
	if err != nil {
		return result{}, err
	}

	l := newLoad(cluster.url, a.keyPrefix(time.Now()), mix())
	show := startProgress(out, l)
	var happened incidents
	calls, err := l.drive(ctx, int(float64(c.calls)*a.share), func(ctx context.Context) (err error) {
		happened, err = p.carryOut(ctx, cluster, show.event)
		return err
	})
	show.stop()
	if err != nil {
		return result{}, err
	}
	if err := cluster.stop(ctx); err != nil {
		return result{}, err
	}
	r, err = audit(ctx, a, calls, cluster.ledger, l.prefix)
	if err != nil {
		return result{}, err
	}
	r.feel(calls, happened)
	if !a.control {
		fmt.Fprintf(out, "%d attempts met the dead instance (at most %d may), %d the frozen one (of each call at most 1 may)\n",
			r.onDead, r.mostOnDead, r.onFrozen)
	}
	return r, nil
}

// keyPrefix begins every key and every student of this run of the arm, so that a
// store that is used again, or by others, tells the runs apart.
func (a arm) keyPrefix(now time.Time) string {
	return fmt.Sprintf("%s-%s-", a.client, now.UTC().Format("20060102T150405.000000"))
}
