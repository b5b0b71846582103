//go:build linux

// Package process runs this program once more in another role, as a process
// that its parent owns: it dies with the parent, whatever the parent dies of,
// and the two talk in lines of JSON over its standard input and output.
package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Output is the number of the file that a process answers on: libraries print
// on the others.
const Output = 3

// logTail is how much of a failed process's log is shown, in bytes.
const logTail = 4 << 10

// ErrEnded is the error of waiting for a process that has ended.
var ErrEnded = errors.New("process: it has ended")

// Command says what to run. Program and Name are required.
type Command struct {
	// Name is what errors call the process; its log is Name.log in Dir.
	Name string
	// Program is the path of the executable, and Args its arguments.
	Program string
	Args    []string
	// Env is added to the environment, as "NAME=value".
	Env []string
	// Dir is the working directory; empty means the parent's.
	Dir string
}

// Process is a process that was started. Its methods are safe for concurrent
// use, except that one goroutine at a time may Receive.
type Process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *os.File
	lines  *bufio.Reader
	ended  chan struct{} // closed when it has been reaped
	exit   error         // how it ended; set before ended is closed
}

// Start runs c.
func Start(c Command) (*Process, error) {
	p := &Process{name: c.Name, log: filepath.Join(c.Dir, c.Name+".log"), ended: make(chan struct{})}
	p.cmd = exec.Command(c.Program, c.Args...)
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(), c.Env...)
	// A ^C is for the first process only, which ends the others.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.start(); err != nil {
		return nil, fmt.Errorf("process: start %s: %w", c.Name, err)
	}
	return p, nil
}

func (p *Process) start() (err error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }() // the child has its own copy
	output, childOutput, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, childOutput.Close()) }()
	p.output, p.lines = output, bufio.NewReader(output)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = log, log, []*os.File{childOutput}
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return errors.Join(err, output.Close())
	}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return errors.Join(err, output.Close())
	}
	return nil
}

// run starts the process and reaps it.
func (p *Process) run(started chan<- error) {
	// Linux takes the death of the thread that forked for the parent's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.exit = p.cmd.Wait()
		close(p.ended)
	}
}

// Send writes v to the process's input, as one line of JSON.
func (p *Process) Send(v any) error {
	line, err := json.Marshal(v)
	if err == nil {
		_, err = p.input.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("process: tell %s: %w", p.name, err)
	}
	return nil
}

// Receive reads the next line of the process's Output into v. It waits until
// there is one, ctx ends or the process does, which is an ErrEnded.
func (p *Process) Receive(ctx context.Context, v any) error {
	deadline, _ := ctx.Deadline() // zero: none
	if err := p.output.SetReadDeadline(deadline); err != nil {
		return fmt.Errorf("process: hear %s: %w", p.name, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.output.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := p.lines.ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF):
		<-p.ended
		return fmt.Errorf("%w: %s: %w\n%s", ErrEnded, p.name, exitOf(p.exit), p.Tail())
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("process: hear %s: nothing came in time\n%s", p.name, p.Tail())
	case err != nil:
		return fmt.Errorf("process: hear %s: %w", p.name, err)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("process: hear %s: line %.200q: %w", p.name, line, err)
	}
	return nil
}

// exitOf is how a process that should not have ended did.
func exitOf(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// Tail returns the end of the process's log.
func (p *Process) Tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// Ended tells whether the process has ended, by itself or by Kill.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Freeze stops the process where it is.
func (p *Process) Freeze() error { return p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error { return p.signal(syscall.SIGCONT) }

// Kill ends the process with SIGKILL and waits until it is gone. One that has
// ended stays as it is.
func (p *Process) Kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.ended
	return err
}

// Close kills the process, if it still runs, and gives its pipes back.
func (p *Process) Close() error {
	err := p.Kill()
	if cerr := p.input.Close(); cerr != nil && !errors.Is(cerr, os.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return errors.Join(err, p.output.Close())
}

func (p *Process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process: %v to %s: %w", s, p.name, err)
	}
	return nil
}
