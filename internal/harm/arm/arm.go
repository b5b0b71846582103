//go:build linux

// Package arm is one side of a comparison: a process that makes the calls of a
// cell, bare or with oncemore, to a fleet of its own.
package arm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/node"
	"github.com/oncemore-dev/oncemore/internal/harm/outcome"
	"github.com/oncemore-dev/oncemore/internal/harm/program"
)

// lateWork is how long a handler may still run after its caller has given up.
const lateWork = 2 * callersTime

// Spec says which arm of which cell.
type Spec struct {
	Cell cell.Cell `json:"cell"`
	// Wrapped installs oncemore in every process.
	Wrapped bool `json:"wrapped"`
	// Seed makes the calls of both arms the same.
	Seed uint64 `json:"seed"`
	// Length is how long calls are made.
	Length time.Duration `json:"length"`
	// Dir is an empty folder for journals and logs.
	Dir string `json:"dir"`
}

// Ready is what an arm says once it can begin.
type Ready struct {
	Ready bool `json:"ready"`
}

// Begin is what it is told then.
type Begin struct {
	// At is when the first call is made.
	At time.Time `json:"at"`
}

// Run is the life of an arm: it says Ready to out, takes a Begin from in, and
// writes its Result to out.
func Run(ctx context.Context, s Spec, in io.Reader, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f, err := startFleet(ctx, s)
	defer func() { err = errors.Join(err, f.end()) }()
	if err != nil {
		return err
	}
	p, err := caller(ctx, f)
	if err != nil {
		return err
	}
	w := newWorkload(s.Cell.Workload, s.Seed)
	warmUp(ctx, p.Client(), w)
	if err := json.NewEncoder(out).Encode(Ready{true}); err != nil {
		return err
	}
	var begin Begin
	if err := json.NewDecoder(bufio.NewReader(in)).Decode(&begin); err != nil {
		return fmt.Errorf("arm: hear when to begin: %w", err)
	}
	r, err := f.run(ctx, &load{client: p.Client(), workload: w}, begin.At, p)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// caller is the program that makes the calls, which is this process.
func caller(ctx context.Context, f *fleet) (*program.Program, error) {
	for _, variable := range f.proxied() {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("arm: %w", err)
		}
	}
	p, err := program.New(ctx, program.Spec{
		Name: "caller", ID: "caller-0", Wrapped: f.spec.Wrapped,
		Client: f.spec.Cell.Client, Around: f.spec.Cell.Around, Safety: f.spec.Cell.Safety,
	})
	if err != nil {
		return nil, err
	}
	return p, node.Change{Register: f.listed()}.Apply(p.Registry)
}

// run makes the calls while the faults happen, and counts what they executed.
func (f *fleet) run(ctx context.Context, l *load, start time.Time, p *program.Program) (outcome.Result, error) {
	failed := make(chan error, 1)
	go func() { failed <- carryOut(ctx, start, f.faults(f.spec.Length, p.Registry)) }()
	if err := l.drive(ctx, start, f.spec.Length); err != nil {
		return outcome.Result{}, err
	}
	r := l.result()
	if err := errors.Join(<-failed, f.thaw(), f.crashed()); err != nil {
		return outcome.Result{}, err
	}
	select { // what still runs, or was in a frozen process's sockets, counts too
	case <-time.After(lateWork):
	case <-ctx.Done():
		return outcome.Result{}, context.Cause(ctx)
	}
	journal, err := node.ReadJournal(filepath.Join(f.spec.Dir, "journal"), warmUpPrefix)
	if err != nil {
		return outcome.Result{}, err
	}
	return r.WithExecutions(journal), nil
}

// encode makes an argument of a spec.
func encode(spec any) (string, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("arm: %w", err)
	}
	return string(text), nil
}
