package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/oncemore-dev/oncemore/idempotency"
)

func showCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show all that the store holds of one key",
		ArgsUsage: "STORE_KEY",
		Flags: append(scopeFlags(),
			&cli.BoolFlag{Name: "reply", Usage: "show the recorded reply, too, which may be private"},
			&cli.BoolFlag{Name: flagJSON, Usage: "as JSON"},
		),
		Action: show,
	}
}

func show(ctx context.Context, c *cli.Command) error {
	return withEntry(ctx, c, func(_ *opened, e idempotency.Entry) error {
		shown := objectOf(e)
		if e.State == idempotency.Done {
			shown.Record = recordOf(e.Record, c.Bool("reply"))
		}
		if c.Bool(flagJSON) {
			return writeJSON(c.Root().Writer, shown)
		}
		return describe(c.Root().Writer, shown)
	})
}
