//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oncemore-dev/oncemore/internal/harm/arm"
	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/judge"
	"github.com/oncemore-dev/oncemore/internal/harm/outcome"
	"github.com/oncemore-dev/oncemore/internal/harm/process"
)

const (
	// readyTime bounds the start of an arm with its fleet.
	readyTime = 90 * time.Second
	// endTime bounds what an arm does after its last call was made.
	endTime = 30 * time.Second
	// ahead is how long after both arms are ready the first call is made.
	ahead = 50 * time.Millisecond
	// apart is the time between a call of one arm and its like of the other, so
	// that they do not always meet.
	apart = 8 * time.Millisecond
)

// side is one arm of a cell.
type side struct {
	name    string
	spec    arm.Spec
	process *process.Process
	outcome outcome.Result
}

// run runs both arms of a cell side by side, with all their files in dir.
func (c config) run(ctx context.Context, what cell.Cell, dir string) judge.Pair {
	seed := c.seed ^ what.Hash()
	bare := &side{name: "bare", spec: arm.Spec{Cell: what, Seed: seed, Length: c.length}}
	wrapped := &side{name: "wrapped", spec: bare.spec}
	wrapped.spec.Wrapped = !c.control
	err := runBoth(ctx, dir, bare, wrapped)
	pair := judge.Pair{Cell: what, Bare: bare.outcome, Wrapped: wrapped.outcome}
	if err != nil {
		pair.Broken = err.Error()
	}
	return pair
}

func runBoth(ctx context.Context, dir string, sides ...*side) (err error) {
	for _, s := range sides {
		if err := s.start(filepath.Join(dir, s.name)); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.process.Close()) }()
	}
	for _, s := range sides {
		if err := s.hear(ctx, readyTime, new(arm.Ready)); err != nil {
			return err
		}
	}
	moment := time.Now().Add(ahead)
	for i, s := range sides {
		if err := s.process.Send(arm.Begin{At: moment.Add(time.Duration(i) * apart)}); err != nil {
			return err
		}
	}
	for _, s := range sides {
		if err := s.hear(ctx, s.spec.Length+endTime, &s.outcome); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) start(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	s.spec.Dir = dir
	argument, err := json.Marshal(s.spec)
	if err != nil {
		return err
	}
	s.process, err = process.Start(process.Command{
		Name: s.name, Program: executable, Args: []string{arm.RoleArm, string(argument)}, Dir: dir,
	})
	return err
}

// hear waits for what the arm says next.
func (s *side) hear(ctx context.Context, within time.Duration, v any) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := s.process.Receive(ctx, v); err != nil {
		return fmt.Errorf("the %s arm broke: %w", s.name, err)
	}
	return nil
}
