//go:build linux

package proctest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parent forks a child that would live for ever, writes the child's id to
// $0, and lets the file $0.beat grow.
const parent = `sleep 100000 & echo $! > "$0.new"; mv "$0.new" "$0"; while :; do echo >> "$0.beat"; sleep 0.01; done`

// script is a shell script that is ready when the file it was given exists.
func script(file, text string) Command {
	return Command{
		Name: "script", Path: "/bin/sh", Args: []string{"-c", text, file},
		Ready: func(context.Context) error {
			_, err := os.Stat(file)
			return err
		},
	}
}

func readPID(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// ended reports whether a process is gone, or a zombie that nobody has reaped.
func ended(pid int) (bool, error) {
	states, err := threadStates(pid)
	return len(states) == 0 || (len(states) == 1 && states[0] == 'Z'), err
}

func TestProcessKillReachesChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "child")
	p := Start(t, script(file, parent))
	root, child := p.PID(), readPID(t, file)
	if gone, err := ended(child); gone || err != nil {
		t.Fatalf("child %d has ended before Kill (%v)", child, err)
	}
	p.Kill()
	for _, pid := range []int{root, child} {
		if states, err := threadStates(pid); len(states) != 0 || err != nil {
			t.Errorf("state of process %d = %q after Kill (%v), want it gone", pid, states, err)
		}
	}
	if pid := p.PID(); pid != 0 {
		t.Errorf("PID = %d after Kill, want 0", pid)
	}
}

func TestProcessStopLeavesNothingBehind(t *testing.T) {
	file := filepath.Join(t.TempDir(), "child")
	p := Start(t, script(file, parent))
	p.Stop()
	if states, err := threadStates(readPID(t, file)); len(states) != 0 || err != nil {
		t.Errorf("state of the child = %q after Stop (%v), want it gone", states, err)
	}
}

func TestProcessFreezeAndThaw(t *testing.T) {
	file := filepath.Join(t.TempDir(), "child")
	p := Start(t, script(file, parent))
	beats := func() int64 {
		info, err := os.Stat(file + ".beat")
		if err != nil {
			return 0
		}
		return info.Size()
	}
	p.Freeze()
	for _, pid := range []int{p.PID(), readPID(t, file)} {
		if states, err := threadStates(pid); err != nil || string(states) != "T" {
			t.Errorf("state of process %d = %q after Freeze (%v), want T", pid, states, err)
		}
	}
	before := beats()
	p.Thaw()
	if err := poll(func() (bool, error) { return beats() > before, nil }); err != nil {
		t.Errorf("no sign of life after Thaw: %v", err)
	}
}

func TestProcessRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready")
	p := Start(t, script(file, `echo > "$0"; exec sleep 100000`))
	first := p.PID()
	p.Restart()
	second := p.PID()
	if gone, err := ended(first); !gone || err != nil {
		t.Errorf("first process lives after Restart (%v)", err)
	}
	p.Stop()
	p.Restart()
	if third := p.PID(); first == second || second == third || third == 0 {
		t.Errorf("PIDs = %d, %d, %d, want three of them", first, second, third)
	}
}

// recorder takes down what a Process reports, in the test's place.
type recorder struct {
	testing.TB

	mu       sync.Mutex
	messages []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatal(args ...any) {
	r.Errorf("%s", fmt.Sprint(args...))
	runtime.Goexit()
}

func TestProcessReports(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name string
		run  func(r *recorder, file string)
		want string
	}{
		{"a program that does not exist", func(r *recorder, file string) {
			c := script(file, "")
			c.Path = filepath.Join(dir, "nothing")
			Start(r, c)
		}, "no such file"},
		{"an end before it was ready", func(r *recorder, file string) {
			Start(r, script(file, `exit 3`))
		}, "it ended before it was ready: exit status 3"},
		{"an end of its own", func(r *recorder, file string) {
			p := Start(r, script(file, `echo > "$0"; exec sleep 100000`))
			if err := signal(p.PID(), syscall.SIGKILL); err != nil {
				r.Errorf("%v", err)
			}
			<-p.running.done
			p.Kill()
		}, "kill script: it has ended by itself: signal: killed"},
		{"what cannot be done to it", func(r *recorder, file string) {
			p := Start(r, script(file, `echo > "$0"; exec sleep 100000`))
			p.Stop()
			p.Freeze()
		}, "freeze script: it does not run"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				test.run(r, filepath.Join(t.TempDir(), "ready"))
			}()
			<-done
			if len(r.messages) != 1 || !strings.Contains(r.messages[0], test.want) {
				t.Errorf("reports = %q, want one with %q", r.messages, test.want)
			}
		})
	}
}

// envOrphan asks the test binary to start a process and be killed.
const envOrphan = "PROCTEST_ORPHAN"

func TestProcessDiesWithTestBinary(t *testing.T) {
	if file := os.Getenv(envOrphan); file != "" {
		Start(t, script(file, `echo $$ > "$0.new"; mv "$0.new" "$0"; exec sleep 100000`))
		select {}
	}
	file := filepath.Join(t.TempDir(), "orphan")
	binary := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	binary.Env = append(os.Environ(), envOrphan+"="+file)
	if err := binary.Start(); err != nil {
		t.Fatal(err)
	}
	if err := poll(func() (bool, error) {
		_, err := os.Stat(file)
		return err == nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := binary.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := binary.Wait(); !errors.As(err, &exit) {
		t.Fatalf("test binary: %v, want it killed", err)
	}
	orphan := readPID(t, file)
	if err := poll(func() (bool, error) { return ended(orphan) }); err != nil {
		t.Errorf("process %d has outlived the test binary: %v", orphan, err)
	}
}

func TestReservePort(t *testing.T) {
	port := ReservePort(t)
	if other := ReservePort(t); other == port {
		t.Errorf("port %d was given twice", port)
	}
	if _, err := net.Dial("tcp", Address(port)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial = %v, want it refused", err)
	}
	for range 2 {
		l, err := net.Listen("tcp", Address(port))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
