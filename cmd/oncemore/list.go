package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/oncemore-dev/oncemore/idempotency"
)

const flagJSON = "json"

func listCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list keys, the oldest first where the store can sort; by default those whose outcome is unknown",
		Flags: append(scopeFlags(),
			&cli.StringSliceFlag{Name: "state", Value: []string{"orphaned"}, Usage: "running, orphaned (or unresolved), done, released, all"},
			&cli.DurationFlag{Name: "older-than", Usage: "only what was claimed at least so long ago"},
			&cli.IntFlag{Name: "limit", Value: 100, Usage: "the greatest number of keys; 0 for all"},
			&cli.BoolFlag{Name: flagJSON, Usage: "one JSON object a line"},
		),
		Action: list,
	}
}

func list(ctx context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return usage("list takes no argument; name a key to show")
	}
	filter, err := filterOf(c)
	if err != nil {
		return err
	}
	return withStore(ctx, c, func(o *opened) error {
		if c.Bool(flagJSON) {
			return listJSON(ctx, c, o, filter)
		}
		return listTable(ctx, c, o, filter)
	})
}

// withStore opens the store for do.
func withStore(ctx context.Context, c *cli.Command, do func(*opened) error) (err error) {
	o, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	return do(o)
}

func filterOf(c *cli.Command) (idempotency.Filter, error) {
	filter := idempotency.Filter{
		Service: c.String(flagService), Endpoint: c.String(flagEndpoint), Caller: c.String(flagCaller), Key: c.String(flagKey),
		OlderThan: c.Duration("older-than"), Limit: c.Int("limit"),
	}
	switch {
	case filter.Limit < 0:
		return filter, usage("--limit %d: must be 0, for all, or more", filter.Limit)
	case filter.OlderThan < 0:
		return filter, usage("--older-than %v: must be 0s or more", filter.OlderThan)
	}
	if filter.Key != "" {
		key, err := idempotency.ParseKey(filter.Key)
		if err != nil {
			return filter, usage("--%s %q: %w", flagKey, filter.Key, err)
		}
		filter.Key = key
	}
	for _, name := range c.StringSlice("state") {
		states, ok := statesNamed(name)
		if !ok {
			return filter, usage("--state %q: must be running, orphaned, unresolved, done, released or all", name)
		}
		filter.States = append(filter.States, states...)
	}
	return filter, nil
}

// statesNamed returns the states that a word stands for. What is unresolved, the
// store knows as an orphan.
func statesNamed(name string) ([]idempotency.State, bool) {
	all := []idempotency.State{idempotency.Running, idempotency.Orphaned, idempotency.Done, idempotency.Released}
	switch name {
	case "all":
		return all, true
	case "unresolved":
		name = idempotency.Orphaned.String()
	}
	for _, state := range all {
		if state.String() == name {
			return []idempotency.State{state}, true
		}
	}
	return nil, false
}

func listTable(ctx context.Context, c *cli.Command, o *opened, filter idempotency.Filter) (err error) {
	table := tabwriter.NewWriter(c.Root().Writer, 0, 0, 2, ' ', 0)
	defer func() { err = errors.Join(err, table.Flush()) }()
	found := 0
	for e, err := range o.List(ctx, filter) {
		if err != nil {
			return err
		}
		if found++; found == 1 {
			if _, err := fmt.Fprintln(table, "STATE\tAGE\tSERVICE\tENDPOINT\tCALLER\tKEY\tINSTANCE\tSTORE KEY"); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(table, strings.Join(rowOf(e), "\t")); err != nil {
			return err
		}
	}
	if found == 0 {
		_, err = fmt.Fprintln(table, "there is none")
	}
	return err
}

func rowOf(e idempotency.Entry) []string {
	row := []string{
		e.State.String(), age(e.ClaimedAt), e.Scope.Service, e.Scope.Endpoint, e.Scope.Caller, e.Scope.Key, e.Instance, e.Key.String(),
	}
	for i := range row {
		row[i] = printable(row[i])
	}
	return row
}

// age is how long ago a time of the store's was.
func age(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return max(0, time.Since(t)).Truncate(time.Second).String()
}

func listJSON(ctx context.Context, c *cli.Command, o *opened, filter idempotency.Filter) error {
	for e, err := range o.List(ctx, filter) {
		if err != nil {
			return err
		}
		if err := writeJSON(c.Root().Writer, objectOf(e)); err != nil {
			return err
		}
	}
	return nil
}
