package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/oncemore-dev/oncemore/idempotency"
)

const (
	flagConfirm = "confirm"
	flagForce   = "force"
)

func decisionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: flagConfirm, Usage: "do it; the `WORD` is what the same command says without it"},
		&cli.BoolFlag{Name: flagForce, Usage: "also if the key is running and its lease is good: its handler may still be at work"},
		&cli.BoolFlag{Name: flagJSON, Usage: "as JSON"},
	}
}

// settle tells what a decision would do, or does it.
func settle(ctx context.Context, c *cli.Command, d decision) error {
	if c.Bool(flagForce) {
		d.finding, d.name = d.finding.Forced(), d.name+", by force"
	}
	return withEntry(ctx, c, func(o *opened, e idempotency.Entry) error {
		if e.State == idempotency.Running && !c.Bool(flagForce) {
			return fmt.Errorf("%w (--%s)", idempotency.ErrLive, flagForce)
		}
		word := wordFor(e, d)
		if c.String(flagConfirm) == "" {
			return tell(c, outcome{Entry: objectOf(e), Effect: d.effect, Confirm: word})
		}
		if c.String(flagConfirm) != word {
			return errNotConfirmed
		}
		if err := o.guard.Resolve(ctx, e, d.finding); err != nil {
			return err
		}
		return tell(c, outcome{Entry: objectOf(e), Effect: d.effect, Changed: true})
	})
}

// errNotConfirmed says that the word is another one.
var errNotConfirmed = errors.New("nothing was changed: the key is no longer as it was shown, or the word is for another decision; " +
	"run the command without --confirm, and look again")

func isChanged(err error) bool {
	return errors.Is(err, errNotConfirmed) || errors.Is(err, idempotency.ErrChanged) || errors.Is(err, idempotency.ErrLive)
}

// wordFor is the word that confirms a decision about an entry as it is.
func wordFor(e idempotency.Entry, d decision) string {
	seen := e.Seen()
	sum := sha256.Sum256(fmt.Appendf(nil, "%v %v %d %v %s", e.Key, seen.Owner, seen.Fence, seen.State, d.name))
	return hex.EncodeToString(sum[:6])
}

// outcome is what a decision did, or would do.
type outcome struct {
	Changed bool   `json:"changed"`
	Effect  string `json:"effect"`
	Confirm string `json:"confirm,omitempty"`
	Entry   object `json:"was"`
}

func tell(c *cli.Command, o outcome) error {
	w := c.Root().Writer
	if c.Bool(flagJSON) {
		return writeJSON(w, o)
	}
	if o.Changed {
		_, err := fmt.Fprintf(w, "Done: %s.\n", o.Effect)
		return err
	}
	if err := describe(w, o.Entry); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nThis would %s.\nNothing was changed. To do it, add --%s %s\n", o.Effect, flagConfirm, o.Confirm)
	return err
}
