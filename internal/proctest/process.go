//go:build linux

package proctest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// patience bounds every wait for a process. It is far above what any of
	// them takes, since it only ends tests that have failed.
	patience = 2 * time.Minute
	// pollInterval is the pause between two looks at a process.
	pollInterval = 5 * time.Millisecond
	// logTail is how much of a process's output is shown when a test failed.
	logTail = 16 << 10
)

// Command says how a server is run. Name, Path and Ready are required.
type Command struct {
	// Name is what messages call the server.
	Name string
	// Path and Args are the program and its arguments.
	Path string
	Args []string
	// Dir is the working directory; empty means the test's.
	Dir string
	// Credential is the user to run as; nil means the test's own.
	Credential *syscall.Credential
	// StopSignal asks for an orderly end; zero means SIGTERM.
	StopSignal syscall.Signal
	// Ready returns nil once the server serves. It is called again and again
	// after a start until it does.
	Ready func(context.Context) error
}

// Process is a server that a test has started. Its methods report what goes
// wrong through the test, and are safe for concurrent use, also outside the
// test's goroutine.
type Process struct {
	tb      testing.TB
	command Command
	log     *os.File

	mu      sync.Mutex
	running *run // nil while none runs
	frozen  bool
}

// run is one execution of the command.
type run struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and been reaped
	exit error         // how it ended; set before done is closed
}

// Start runs the command and returns when it is ready. When the test ends the
// process is stopped, and its output shown if the test failed; if the test
// binary dies, the process dies with it.
func Start(tb testing.TB, c Command) *Process {
	tb.Helper()
	log, err := os.CreateTemp(tb.TempDir(), "log")
	if err != nil {
		tb.Fatalf("proctest: %s: %v", c.Name, err)
	}
	p := &Process{tb: tb, command: c, log: log}
	tb.Cleanup(p.end)
	if err := adoptOrphans(); err != nil {
		tb.Fatal(err)
	}
	if err := p.start(); err != nil {
		tb.Fatal(err)
	}
	return p
}

// Kill ends the process and its children with SIGKILL, all at one instant.
func (p *Process) Kill() {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report("kill", p.kill())
}

// Stop asks the process to end in an orderly way and waits until it has.
func (p *Process) Stop() {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report("stop", p.stop())
}

// Freeze stops the process and its children with SIGSTOP: connections stay
// open, and nobody answers. It returns once all have stopped.
func (p *Process) Freeze() {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.alive()
	if err == nil {
		p.frozen = true
		_, err = freezeTree(r.cmd.Process.Pid)
	}
	p.report("freeze", err)
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw() {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.alive()
	if err == nil {
		p.frozen = false
		err = thawTree(r.cmd.Process.Pid)
	}
	p.report("thaw", err)
}

// Restart runs the command again, after Kill or Stop, and returns when it is
// ready. A process that still runs is killed first.
func (p *Process) Restart() {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		p.report("kill", p.kill())
	}
	p.report("restart", p.start())
}

// PID returns the process's id, 0 while none runs.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return 0
	}
	return p.running.cmd.Process.Pid
}

// report fails the test without ending its goroutine, which need not be ours.
func (p *Process) report(action string, err error) {
	p.tb.Helper()
	if err != nil {
		p.tb.Errorf("proctest: %s %s: %v", action, p.command.Name, err)
	}
}

// start needs p.mu, or nobody else who knows p.
func (p *Process) start() error {
	r, err := p.spawn()
	if err != nil {
		return fmt.Errorf("proctest: start %s: %w", p.command.Name, err)
	}
	p.running, p.frozen = r, false
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.awaitReady(ctx, r); err != nil {
		if _, gone := p.alive(); gone == nil {
			err = errors.Join(err, p.kill())
		}
		p.running = nil
		return fmt.Errorf("proctest: start %s: %w", p.command.Name, err)
	}
	return nil
}

func (p *Process) awaitReady(ctx context.Context, r *run) error {
	for {
		err := p.command.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-r.done:
			return fmt.Errorf("it ended before it was ready: %w", exitError(r))
		case <-ctx.Done():
			return fmt.Errorf("not ready after %v: %w", patience, err)
		case <-time.After(pollInterval):
		}
	}
}

func (p *Process) spawn() (*run, error) {
	cmd := exec.Command(p.command.Path, p.command.Args...)
	cmd.Dir = p.command.Dir
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // so that a ^C reaches the test first
		Credential: p.command.Credential,
	}
	r := &run{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux takes the death of the thread that forked for the parent's.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			r.exit = cmd.Wait()
			close(r.done)
		}
	}()
	return r, <-started
}

// alive returns the run in progress; it needs p.mu.
func (p *Process) alive() (*run, error) {
	if p.running == nil {
		return nil, errors.New("it does not run")
	}
	select {
	case <-p.running.done:
		err := fmt.Errorf("it has ended by itself: %w", exitError(p.running))
		return nil, errors.Join(err, endGroup(p.running.cmd.Process.Pid))
	default:
		return p.running, nil
	}
}

// kill needs p.mu.
func (p *Process) kill() error {
	r, err := p.alive()
	p.running = nil
	if err != nil {
		return err
	}
	return killTree(r.cmd.Process.Pid, r.done)
}

// stop needs p.mu.
func (p *Process) stop() error {
	r, err := p.alive()
	if err != nil {
		p.running = nil
		return err
	}
	s := p.command.StopSignal
	if s == 0 {
		s = syscall.SIGTERM
	}
	pid := r.cmd.Process.Pid
	if err := signal(pid, s); err != nil {
		return err
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-r.done:
		p.running = nil
		return endGroup(pid)
	case <-timeout.C:
		return errors.Join(fmt.Errorf("still running %v after %v", patience, s), p.kill())
	}
}

// end is the last thing that happens to the process.
func (p *Process) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil && p.frozen {
		p.report("kill", p.kill())
	}
	if p.running != nil {
		p.report("stop", p.stop())
	}
	if p.tb.Failed() {
		p.showLog()
	}
	p.report("close the log of", p.log.Close())
}

func (p *Process) showLog() {
	size, err := p.log.Seek(0, io.SeekEnd)
	if err != nil {
		p.report("read the log of", err)
		return
	}
	from := max(0, size-logTail)
	tail, err := io.ReadAll(io.NewSectionReader(p.log, from, size-from))
	p.report("read the log of", err)
	p.tb.Logf("output of %s:\n%s", p.command.Name, tail)
}

// exitError needs r.done to be closed.
func exitError(r *run) error {
	if r.exit == nil {
		return errors.New("exit status 0")
	}
	return r.exit
}

// poll calls done until it says so.
func poll(done func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if time.Since(start) > patience {
			return fmt.Errorf("no effect after %v", patience)
		}
	}
}
