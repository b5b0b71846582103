//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/oncemore-dev/oncemore/internal/harm/arm"
	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/judge"
	"github.com/oncemore-dev/oncemore/internal/harm/node"
	"github.com/oncemore-dev/oncemore/internal/harm/process"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once; the kernel ends its children.
	context.AfterFunc(ctx, stop)
	if isRole(os.Args) {
		os.Exit(exitStatus(play(ctx, os.Args[1], os.Args[2])))
	}
	os.Exit(exitStatus(start(ctx, os.Args[1:], os.Stdout)))
}

// isRole tells whether this process is a child of the program.
func isRole(args []string) bool {
	return len(args) == 3 && (args[1] == arm.RoleArm || args[1] == arm.RoleNode || args[1] == arm.RoleProxy)
}

// play is the life of a child.
func play(ctx context.Context, role, spec string) error {
	out := os.NewFile(process.Output, "output")
	switch role {
	case arm.RoleArm:
		var s arm.Spec
		if err := json.Unmarshal([]byte(spec), &s); err != nil {
			return err
		}
		return arm.Run(ctx, s, os.Stdin, out)
	case arm.RoleNode:
		var s node.Spec
		if err := json.Unmarshal([]byte(spec), &s); err != nil {
			return err
		}
		return node.Serve(ctx, s, os.Stdin, out)
	default:
		return node.Proxy(ctx, os.Stdin, out)
	}
}

func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "harm:", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailure
}

func start(ctx context.Context, args []string, out io.Writer) (err error) {
	c, err := configFrom(args, out)
	if err != nil {
		return err
	}
	cells, err := c.chosen()
	if err != nil {
		return err
	}
	if c.list {
		printCells(out, cells)
		return nil
	}
	dir, err := os.MkdirTemp("", "harm-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return c.compare(ctx, out, cells, dir)
}

func printCells(out io.Writer, cells []numbered) {
	for _, c := range cells {
		fmt.Fprintf(out, "%4d  %s\n", c.number, c.cell)
	}
	for _, e := range cell.Exclusions() {
		fmt.Fprintln(out, "impossible:", e)
	}
}

// errHarm is the error of a matrix that shows harm.
var errHarm = errors.New("oncemore does harm")

// compare runs the cells one after the other, prints what came of them, and
// returns an error if they show harm.
func (c config) compare(ctx context.Context, out io.Writer, cells []numbered, dir string) error {
	began := time.Now()
	printHeader(out)
	j := judge.New(len(cells))
	var pairs, unharmed []judge.Pair
	for _, next := range cells {
		p := c.run(ctx, next.cell, filepath.Join(dir, strconv.Itoa(next.number)))
		if err := context.Cause(ctx); err != nil {
			return err
		}
		harm := j.Cell(p)
		printRow(out, next.number, p, harm)
		if len(harm) > 0 || len(cells) == 1 {
			printErrors(out, "bare", p.Bare)
			printErrors(out, "wrapped", p.Wrapped)
		}
		if len(harm) == 0 {
			unharmed = append(unharmed, p)
		}
		pairs = append(pairs, p)
	}
	groups := judgeGroups(j, unharmed)
	for _, g := range groups {
		fmt.Fprintln(out, "HARM:", g)
	}
	fmt.Fprintln(out)
	printDigest(out, pairs)
	return conclude(out, pairs, len(pairs)-len(unharmed), len(groups), time.Since(began))
}

// judgeGroups judges together the cells of each value, and all. Those that show
// harm by themselves would hide what the others have in common.
func judgeGroups(j judge.Judge, pairs []judge.Pair) []string {
	harm := j.Group("all cells together", pairs)
	for _, d := range cell.Dimensions() {
		for _, v := range d.Values {
			harm = append(harm, j.Group(d.Name+" "+v, withValue(pairs, v))...)
		}
	}
	return harm
}

// conclude prints the summary, which is the last line.
func conclude(out io.Writer, pairs []judge.Pair, harmed, groups int, took time.Duration) error {
	s := sumOf(pairs)
	fmt.Fprintf(out, "\ncells=%d harmed=%d groups-harmed=%d calls=%d answered=%s late=%s run-again=%s seconds=%.0f\n",
		s.cells, harmed, groups, s.calls, both(s.bare, s.wrapped), both(s.lateBare, s.lateWrapped),
		both(s.repeatedBare, s.repeatedWrapped), took.Seconds())
	if harmed+groups > 0 {
		return errHarm
	}
	return nil
}
