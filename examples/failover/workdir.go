package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

var errInterrupted = errors.New("interrupted")

// inWorkDir runs work with a temporary directory, which it removes afterwards,
// unless work failed and somebody will want to know why.
func inWorkDir(ctx context.Context, work func(dir string) error) error {
	dir, err := os.MkdirTemp("", "failover-")
	if err != nil {
		return err
	}
	err = work(dir)
	switch {
	case ctx.Err() != nil:
		return errors.Join(errInterrupted, os.RemoveAll(dir))
	case err != nil:
		return fmt.Errorf("%w\nthe logs of the processes are in %s", err, dir)
	default:
		return os.RemoveAll(dir)
	}
}
