package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func shell(t *testing.T, script string) *process {
	t.Helper()
	dir := t.TempDir()
	sign := filepath.Join(dir, "ready")
	p := &process{
		name:    "child",
		program: "/bin/sh",
		args:    []string{"-c", script},
		env:     []string{"SIGN=" + sign},
		logPath: filepath.Join(dir, "log"),
		ready:   func(context.Context) error { _, err := os.Stat(sign); return err },
	}
	t.Cleanup(func() {
		if err := p.kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestProcessIsKilledAndStartedAgain(t *testing.T) {
	p := shell(t, `: > "$SIGN"; exec sleep 60`)
	for range 2 {
		if err := p.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.kill(); err != nil {
		t.Errorf("to kill it again: %v", err)
	}
}

func TestProcessStopsWhenAsked(t *testing.T) {
	p := shell(t, `trap 'exit 0' TERM; : > "$SIGN"; while :; do sleep 0.01; done`)
	if err := p.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.freeze(), p.thaw(), p.stop(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestProcessThatEndsByItselfIsReported(t *testing.T) {
	p := shell(t, `echo "no such luck"; exit 4`)
	err := p.start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "child ended by itself: exit status 4\nno such luck") {
		t.Errorf("start: %v", err)
	}

	p = shell(t, `: > "$SIGN"; while [ -e "$SIGN" ]; do sleep 0.01; done`)
	if err := p.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(strings.TrimPrefix(p.env[0], "SIGN=")); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if err := p.stop(t.Context()); err == nil || !strings.Contains(err.Error(), "child ended by itself: exit status 0") {
		t.Errorf("stop: %v", err)
	}
}

func TestStartGivesUpWithTheDriver(t *testing.T) {
	p := shell(t, `exec sleep 60`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.start(ctx); err == nil || !strings.Contains(err.Error(), "child is not ready") {
		t.Errorf("error = %v", err)
	}
}

func TestCleanEnviron(t *testing.T) {
	got := cleanEnviron([]string{
		"PATH=/bin", "MICRO_REGISTRY=etcd", "CONSUL_HTTP_ADDR=x", "STORE=none:", "LEDGER=x", "HELLO_NODES=x",
		"USER_API_ADDRESS=x", "CLIENT=stock", "HELLO_KEYS=vouched", "FORM_SECRET=x", "STORED=1", "HOME=/root",
	})
	if want := []string{"PATH=/bin", "STORED=1", "HOME=/root"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFreePortsAreDistinctAndFree(t *testing.T) {
	addresses, err := freePorts(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(addresses)
	if len(slices.Compact(addresses)) != 10 {
		t.Errorf("got %q", addresses)
	}
	for _, address := range addresses {
		if err := accepting(address)(t.Context()); err == nil {
			t.Errorf("somebody listens on %s", address)
		}
	}
}
