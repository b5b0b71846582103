package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// shortPlan freezes for longer than the 1 s after which hystrix gives up, and
// for longer than the third of 5 s after which a tip is sent again.
func shortPlan() plan {
	return plan{
		kill:    300 * time.Millisecond,
		restart: 800 * time.Millisecond,
		freeze:  1 * time.Second,
		thaw:    3 * time.Second,
		end:     3300 * time.Millisecond,
	}
}

func settings(t *testing.T, variables ...string) config {
	t.Helper()
	c, err := configFrom(env(append(variables, "CALLS=200")...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// interrupter cancels when the first fault is announced.
type interrupter struct {
	bytes.Buffer

	cancel context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "SIGKILL") {
		i.cancel()
	}
	return i.Buffer.Write(p)
}

// TestDemonstration kills and freezes real processes; it builds them once for
// all its parts.
func TestDemonstration(t *testing.T) {
	programs := t.TempDir()
	if err := build(t.Context(), programs); err != nil {
		t.Fatal(err)
	}

	line := regexp.MustCompile(`(?m)^calls=\d{3,} failed=0 acknowledged=[1-9]\d* ledger=[1-9]\d* duplicates=0 lost=0 p50=\S+ p99=\S+ max=\S+$`)
	for _, transport := range []string{transportMUCP, transportGRPC} {
		t.Run(transport, func(t *testing.T) {
			var out bytes.Buffer
			c := settings(t, "TRANSPORT="+transport)
			if err := demonstrate(t.Context(), &out, c, shortPlan(), programs, t.TempDir()); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
			if !line.MatchString(out.String()) {
				t.Errorf("no line about oncemore in\n%s", out.String())
			}
		})
	}

	t.Run("consul", func(t *testing.T) {
		var out bytes.Buffer
		c := settings(t, "REGISTRY=consul", "CONSUL_BIN="+cmp.Or(os.Getenv("CONSUL_BIN"), "../../.cache/bin/consul"))
		r, err := arms()[0].run(t.Context(), &out, c, shortPlan(), programs, filepath.Join(t.TempDir(), "run"))
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		if err := r.arm.judge(r); err != nil {
			t.Errorf("%v: %s\n%s", err, summary(r), out.String())
		}
	})

	t.Run("without deduplication", func(t *testing.T) {
		var out bytes.Buffer
		r, err := arms()[0].run(t.Context(), &out, settings(t, "STORE=none:"), shortPlan(), programs, filepath.Join(t.TempDir(), "run"))
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		if r.duplicates == 0 || r.arm.judge(r) == nil {
			t.Errorf("%s: want duplicates and an error\n%s", summary(r), out.String())
		}
	})

	// That no process is left is what goleak sees: each has a goroutine that
	// waits for its end.
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &interrupter{cancel: cancel}
		if err := demonstrate(ctx, out, settings(t), shortPlan(), programs, t.TempDir()); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want context.Canceled", err)
		}
	})
}
