package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

const (
	// fullLength and shortLength are how long each cell makes calls.
	fullLength  = 8 * time.Second
	shortLength = 3 * time.Second
	// shortCells is how many cells the short form has: the first, which cover most.
	shortCells = 20
)

// config is what the flags say.
type config struct {
	short, list, control bool
	cells                string
	seed                 uint64
	length               time.Duration
}

// errUsage is the error of wrong flags, which have been explained.
var errUsage = errors.New("usage")

func configFrom(args []string, out io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("harm", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.BoolVar(&c.short, "short", false, fmt.Sprintf("run the first %d cells only, for %v each", shortCells, shortLength))
	flags.BoolVar(&c.list, "list", false, "list the cells and run none")
	flags.BoolVar(&c.control, "control", false, "run the bare program in both arms: nothing may be found")
	flags.StringVar(&c.cells, "cells", "", "run only these: numbers, or values that they have (\"slow,grpc\")")
	flags.Uint64Var(&c.seed, "seed", 1, "choose other cells and calls")
	flags.DurationVar(&c.length, "length", 0, fmt.Sprintf("how long each cell makes calls (default %v, short %v)", fullLength, shortLength))
	if err := flags.Parse(args); err != nil {
		return c, errors.Join(errUsage, err)
	}
	if flags.NArg() > 0 {
		return c, errors.Join(errUsage, fmt.Errorf("argument %q: there are flags only", flags.Arg(0)))
	}
	if c.length < 0 || c.length > time.Minute {
		return c, errors.Join(errUsage, fmt.Errorf("-length %v: must be 0 for the default, or up to 1m", c.length))
	}
	if c.length == 0 {
		c.length = fullLength
		if c.short {
			c.length = shortLength
		}
	}
	return c, nil
}

// chosen returns the cells to run.
func (c config) chosen() ([]numbered, error) {
	cells, err := matrix(c.seed)
	if err != nil {
		return nil, err
	}
	if c.short {
		cells = cells[:shortCells]
	}
	cells, err = choose(cells, c.cells)
	if err != nil {
		return nil, errors.Join(errUsage, err)
	}
	return cells, nil
}
