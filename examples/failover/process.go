package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// stopTime is how long a process may take to end when it is asked to.
	stopTime = 10 * time.Second
	// startTime is how long it may take to be ready.
	startTime = 60 * time.Second
	// pollInterval is the pause between two looks at something that is awaited.
	pollInterval = 10 * time.Millisecond
	// logTail is how much of a failed process's log is shown, in bytes.
	logTail = 2 << 10
)

// process is a program that runs until it is ended, and can be started again.
// It is not safe for concurrent use.
type process struct {
	name    string
	program string
	args    []string
	env     []string
	logPath string
	ready   func(context.Context) error
	address string // where it listens; empty if nobody asks
	metrics string // where those of an instance are; empty: nowhere

	running *exec.Cmd
	exited  chan struct{} // closed when running has ended, with ended set
	ended   error
}

// start runs the program and waits until it is ready.
func (p *process) start(ctx context.Context) error {
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own copy
	cmd := exec.Command(p.program, p.args...)
	cmd.Env = append(cleanEnviron(os.Environ()), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	exited := make(chan struct{})
	p.running, p.exited, p.ended = cmd, exited, nil
	go func() {
		p.ended = cmd.Wait()
		close(exited)
	}()
	return p.awaitReady(ctx)
}

func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.diedEarly()
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.name, err)
		case <-time.After(pollInterval):
		}
	}
}

func (p *process) diedEarly() error {
	log, err := os.ReadFile(p.logPath)
	return errors.Join(fmt.Errorf("%s ended by itself: %w\n%s", p.name, exitOf(p.ended), log[max(0, len(log)-logTail):]), err)
}

// exitOf is how a process that should not have ended did.
func exitOf(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// kill ends the process as a crash does, and waits until it is gone.
func (p *process) kill() error {
	if p.running == nil {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	p.running = nil
	return nil
}

// hasEnded tells whether it is gone, by itself or not.
func (p *process) hasEnded() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// freeze stops the process where it is: connections to it stay open and nobody
// answers.
func (p *process) freeze() error { return p.signal(syscall.SIGSTOP) }

// thaw lets it go on.
func (p *process) thaw() error { return p.signal(syscall.SIGCONT) }

// stop asks the process to finish what it does and waits until it has. It is an
// error if it had ended already.
func (p *process) stop(ctx context.Context) error {
	select {
	case <-p.exited:
		return p.diedEarly()
	default:
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case <-p.exited:
		p.running = nil
		return nil
	case <-timer.C:
		return fmt.Errorf("%s does not stop", p.name)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.running.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%v to %s: %w", s, p.name, err)
	}
	return nil
}
