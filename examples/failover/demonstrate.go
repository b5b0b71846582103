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
		some, err := a.runs(c.runs, func(name string) (result, error) {
			return a.run(ctx, out, c, p, programs, filepath.Join(dir, name))
		})
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		results = append(results, some...)
	}
	return conclude(out, results)
}

// chances is how often a control may go through the plan until it shows the harm
// it should: whether a fault meets a call at the right moment is luck.
const chances = 3

// runs lets run go through the plan, each time under a name of its own:
// oncemore's arm as often as it is asked to, a control until it shows harm.
func (a arm) runs(times int, run func(name string) (result, error)) ([]result, error) {
	if a.control {
		times = chances
	}
	var results []result
	name := strings.NewReplacer(",", "", " ", "-").Replace(a.name)
	for n := range times {
		r, err := run(fmt.Sprintf("%s-%d", name, n+1))
		if err != nil {
			return nil, err
		}
		if !a.control {
			results = append(results, r)
		} else if results = []result{r}; a.judge(r) == nil {
			break
		}
	}
	return results, nil
}

// run puts one arm through the plan, with processes and a ledger of its own,
// which are in the folder own.
func (a arm) run(ctx context.Context, out io.Writer, c config, p plan, programs, own string) (r result, err error) {
	if err := os.Mkdir(own, 0o700); err != nil {
		return result{}, err
	}
	fmt.Fprintf(out, "\n%s\n", a.name)
	at, err := freePlaces(ctx, c)
	if err != nil {
		return result{}, err
	}
	cluster, err := startCluster(ctx, c, a, at, programs, own)
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
