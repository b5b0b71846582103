// Command failover shows what the death of an instance costs: it starts three
// hello-srv and a user-api, drives requests through them, kills one instance
// and restarts it, freezes another and thaws it, while a third takes 100 ms longer
// for one call in ten, and counts what failed, what ran twice and what was lost. It
// does so with oncemore, without hedges and with them, and with what is compared
// with it.
//
//	go -C examples run ./failover
//	go -C examples run ./failover live
//
// With live it goes on with oncemore's arm, at a gentle pace, hurts an instance now and
// then, and shows on a page what happens, until it is interrupted. USER_API_ADDRESS is
// where that page is.
//
// REGISTRY=memory|consul|mdns, TRANSPORT=mucp|grpc, INSTANCES, CALLS and RUNS (of
// oncemore's arm; a control has up to three to show its harm) change it, and so
// does STORE, which is hello-srv's: sqlite:PATH (a file for each run unless it is
// given), redis://…, mysql://… or postgres://…. With none: or memory:, where
// nothing is deduplicated between instances, the audit finds what ran twice.
// Exit status 0: oncemore lost nothing and the others did; 1: not so; 2: a
// setting is not allowed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the driver at once; the kernel ends its children.
	context.AfterFunc(ctx, stop)
	os.Exit(exitStatus(run(ctx, os.Stdout, os.Args[1:], os.Getenv)))
}

const argumentLive = "live"

const usage = `usage: failover [live]
Compares, or with live goes on and shows it until it is interrupted. These environment
variables change it:
  REGISTRY=memory|consul|mdns  TRANSPORT=mucp|grpc  INSTANCES=n  CALLS=n  RUNS=n
  USER_API_ADDRESS=host:port
  STORE=sqlite:PATH|redis://…|mysql://…|postgres://…|none:|memory:
`

func run(ctx context.Context, out io.Writer, args []string, getenv func(string) string) error {
	if len(args) == 0 {
		return start(ctx, out, getenv)
	}
	if slices.Equal(args, []string{argumentLive}) {
		return startLive(ctx, out, getenv)
	}
	if slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		_, err := io.WriteString(out, usage)
		return err
	}
	return &setting.Error{Name: "argument", Value: args[0], Allowed: "live, or left out: the environment changes the settings"}
}

func start(ctx context.Context, out io.Writer, getenv func(string) string) error {
	c, err := configFrom(getenv)
	if err != nil {
		return err
	}
	return inWorkDir(ctx, func(dir string) error {
		fmt.Fprintf(out, "%d × hello-srv, 1 × user-api; registry %s, transport %s, store %s, %d callers; building …\n",
			c.instances, c.registry, c.transport, c.storeName(), concurrency)
		if err := build(ctx, dir); err != nil {
			return err
		}
		return demonstrate(ctx, out, c, defaultPlan(), dir, dir)
	})
}

func startLive(ctx context.Context, out io.Writer, getenv func(string) string) error {
	c, err := configFrom(getenv)
	if err != nil {
		return err
	}
	return inWorkDir(context.WithoutCancel(ctx), func(dir string) error {
		return live(ctx, out, c, defaultSchedule(), dir, dir)
	})
}

func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "failover:", err)
	if _, notAllowed := errors.AsType[*setting.Error](err); notAllowed {
		return exitUsage
	}
	return exitFailure
}
