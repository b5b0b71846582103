//go:build linux

package process_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/harm/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, program string, args ...string) *process.Process {
	t.Helper()
	p, err := process.Start(process.Command{Name: program, Program: program, Args: args, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestTalks(t *testing.T) {
	p := start(t, "sh", "-c", "exec cat >&3")
	for _, want := range []string{"one", "two\nlines"} {
		if err := p.Send(want); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := p.Receive(t.Context(), &got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestFrozenSaysNothingUntilItThaws(t *testing.T) {
	p := start(t, "sh", "-c", "exec cat >&3")
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := p.Send(1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var got int
	if err := p.Receive(ctx, &got); err == nil {
		t.Errorf("frozen: got %d, want an error", got)
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := p.Receive(t.Context(), &got); err != nil {
		t.Errorf("thawed: %v, want no error", err)
	}
}

func TestEnded(t *testing.T) {
	p := start(t, "sh", "-c", "echo oops >&2; exit 3")
	var got string
	err := p.Receive(t.Context(), &got)
	if !errors.Is(err, process.ErrEnded) {
		t.Errorf("error %v, want %v", err, process.ErrEnded)
	}
	if tail := p.Tail(); tail != "oops\n" {
		t.Errorf("log %q, want %q", tail, "oops\n")
	}
}

func TestKill(t *testing.T) {
	p := start(t, "sh", "-c", "exec cat >&3")
	if p.Ended() {
		t.Error("it has ended before it was killed")
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	if !p.Ended() {
		t.Error("it was killed and has not ended")
	}
	if err := p.Kill(); err != nil {
		t.Errorf("second time: %v, want no error", err)
	}
	var got string
	if err := p.Receive(t.Context(), &got); !errors.Is(err, process.ErrEnded) {
		t.Errorf("error %v, want %v", err, process.ErrEnded)
	}
}

func TestNoSuchProgram(t *testing.T) {
	if p, err := process.Start(process.Command{Name: "x", Program: "/no/such/program", Dir: t.TempDir()}); err == nil {
		t.Errorf("got %v, want an error", p)
	}
}
