// Command oncemore shows operators what a dedupe store holds, and lets them settle
// what nobody else can: an execution whose process died, or whose answer could not
// be stored, so that its key is answered "outcome unknown".
//
//	oncemore list                            what waits for somebody to settle it
//	oncemore list --state running --older-than 1m
//	oncemore show STORE_KEY                  all that is known of one key
//	oncemore resolve STORE_KEY --executed    it was done
//	oncemore resolve STORE_KEY --not-executed
//	oncemore forget STORE_KEY                as if it had never been executed
//
// Where the store is, ONCEMORE_STORE says, or --store: sqlite:PATH, mysql://…,
// postgres://…, redis://… or rediss://….
//
// resolve and forget change nothing at first: they tell what they would do, and the
// word with which they do it (--confirm). It is good for the key as it was shown and
// for this decision alone. docs/operations.md says how to decide.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
)

// The exit statuses beside 0.
const (
	exitFailure = 1
	exitUsage   = 2
	exitChanged = 3 // the key is not, or no longer, as it was shown
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run runs the command and returns its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := newCommand(stdout, stderr).Run(ctx, args)
	if err == nil {
		return 0
	}
	if _, err := fmt.Fprintln(stderr, "oncemore:", err); err != nil {
		return exitFailure
	}
	switch {
	case isUsage(err):
		return exitUsage
	case isChanged(err):
		return exitChanged
	}
	return exitFailure
}

func newCommand(stdout, stderr io.Writer) *cli.Command {
	wrong := func(_ context.Context, _ *cli.Command, err error, _ bool) error { return usage("%w", err) }
	commands := []*cli.Command{listCommand(), showCommand(), resolveCommand(), forgetCommand()}
	for _, c := range commands {
		c.OnUsageError = wrong
	}
	return &cli.Command{
		Name:      "oncemore",
		Usage:     "find and settle idempotency keys that are stuck",
		Writer:    stdout,
		ErrWriter: stderr,
		Flags:     storeFlags(),
		Commands:  commands,
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usage("%q is no command; there are list, show, resolve and forget", c.Args().First())
			}
			return cli.ShowRootCommandHelp(c)
		},
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // run does
		OnUsageError:   wrong,
	}
}

// usageError says that the command line is wrong.
type usageError struct{ error }

// Unwrap returns what is wrong.
func (e *usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func isUsage(err error) bool {
	_, ok := errors.AsType[*usageError](err)
	return ok
}
