//go:build linux

package proctest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// A server may fork (PostgreSQL serves every connection from a process of its
// own, in a process group of its own), so what is done to it is done to its
// whole tree.

// freezeTree stops root and all its descendants and returns them, root first,
// once every thread of theirs has stopped.
func freezeTree(root int) ([]int, error) {
	var frozen []int
	pending := []int{root}
	for len(pending) > 0 {
		for _, pid := range pending {
			if err := stop(pid); err != nil {
				return nil, err
			}
		}
		frozen = append(frozen, pending...)
		// Parents that have stopped cannot fork any more.
		tree, err := descendants(root)
		if err != nil {
			return nil, err
		}
		pending = slices.DeleteFunc(tree, func(pid int) bool { return slices.Contains(frozen, pid) })
	}
	return frozen, nil
}

// stop sends SIGSTOP and waits until it has taken effect. A process that has
// ended by then is as still as one can be.
func stop(pid int) error {
	if err := signal(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	return poll(func() (bool, error) {
		states, err := threadStates(pid)
		return !slices.ContainsFunc(states, func(s byte) bool { return s != 'T' && s != 'Z' && s != 'X' }), err
	})
}

func thawTree(root int) error {
	tree, err := descendants(root)
	if err != nil {
		return err
	}
	errs := make([]error, 0, 1+len(tree))
	for _, pid := range append(tree, root) {
		errs = append(errs, signal(pid, syscall.SIGCONT))
	}
	return errors.Join(errs...)
}

// killTree kills root and its descendants at one instant, as seen from
// outside: they are stopped first, so that none acts on another's death. It
// returns once all are gone; rootDone is closed when root has been reaped.
func killTree(root int, rootDone <-chan struct{}) error {
	tree, err := freezeTree(root)
	if err != nil {
		return err
	}
	for _, pid := range tree {
		if err := signal(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	<-rootDone
	// Parents come before their children, which are ours once they are dead.
	for _, pid := range tree[1:] {
		if err := reap(pid); err != nil {
			return err
		}
	}
	return nil
}

// endGroup ends what a process that has ended left behind in its group.
func endGroup(pid int) error {
	return errors.Join(signal(-pid, syscall.SIGKILL), reap(-pid))
}

// adoptOrphans makes the test binary the parent of processes whose own parent
// has ended, so that it can reap them.
func adoptOrphans() error {
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER, see prctl(2)
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("proctest: adopt orphans: %w", errno)
	}
	return nil
}

// reap waits for an orphan to end; -pid means those of process group pid.
func reap(pid int) error {
	for {
		_, err := syscall.Wait4(pid, nil, 0, nil)
		switch {
		case errors.Is(err, syscall.ECHILD): // there is none, or none any more
			return nil
		case err != nil && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("proctest: wait for process %d: %w", pid, err)
		}
	}
}

// signal takes a process that is gone for one that got the signal.
func signal(pid int, s syscall.Signal) error {
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("proctest: send %v to process %d: %w", s, pid, err)
	}
	return nil
}

// descendants lists the children of root, theirs, and so on.
func descendants(root int) ([]int, error) {
	children := make(map[int][]int)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, name := range stats {
		fields, err := readStat(name)
		if err != nil {
			return nil, err
		}
		if len(fields) < 2 {
			continue // it ended while we looked
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return nil, err
		}
		parent, err := strconv.Atoi(string(fields[1]))
		if err != nil {
			return nil, err
		}
		children[parent] = append(children[parent], pid)
	}
	var tree []int
	for next := children[root]; len(next) > 0; {
		pid := next[0]
		tree = append(tree, pid)
		next = append(next[1:len(next):len(next)], children[pid]...)
	}
	return tree, nil
}

// threadStates returns the state letter of each thread of a process, none if
// the process is gone.
func threadStates(pid int) ([]byte, error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return nil, err
	}
	var states []byte
	for _, name := range stats {
		fields, err := readStat(name)
		if err != nil {
			return nil, err
		}
		if len(fields) > 0 {
			states = append(states, fields[0][0])
		}
	}
	return states, nil
}

// readStat returns the fields that follow the command in a stat file of
// proc(5): state, parent, …; none if the process or thread is gone.
func readStat(name string) ([][]byte, error) {
	stat, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// The command is in parentheses and may contain anything, these included.
	return bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]), nil
}
