package upgrade

import (
	"archive/zip"
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build builds a command, twice: of the version before, whose sources are in
// testdata, and of this one. What they cannot share has the tag before, or not.
func build(t *testing.T, command string) (before, now string) {
	t.Helper()
	dir := t.TempDir()
	before, now = filepath.Join(dir, "before"), filepath.Join(dir, "now")
	run(t, "", "go", "build", "-o", now, "./"+command)
	source := filepath.Join(dir, "source")
	unzip(t, "testdata/before.zip", filepath.Join(source, "oncemore"))
	copyFile(t, "../../../go.mod", filepath.Join(source, "oncemore", "go.mod"))
	copyFile(t, "../go.sum", filepath.Join(source, "go.sum"))
	must(t, os.CopyFS(source, os.DirFS(command)))
	module, err := os.ReadFile("../go.mod")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(source, "go.mod"), module, 0o600))
	run(t, source, "go", "mod", "edit", "-replace=github.com/oncemore-dev/oncemore=./oncemore")
	run(t, source, "go", "build", "-mod=mod", "-tags=before", "-o", before, ".")
	return before, now
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(to), 0o700))
	must(t, os.WriteFile(to, text, 0o600))
}

func unzip(t *testing.T, from, to string) {
	t.Helper()
	archive, err := zip.OpenReader(from)
	must(t, err)
	defer func() { must(t, archive.Close()) }()
	for _, file := range archive.File {
		if file.FileInfo().IsDir() {
			continue
		}
		content, err := file.Open()
		must(t, err)
		text, err := io.ReadAll(content)
		must(t, err)
		path := filepath.Join(to, filepath.FromSlash(file.Name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, text, 0o600))
	}
}

// process is an instance that runs.
type process struct {
	name    string
	command *exec.Cmd
	input   io.WriteCloser
	ended   chan struct{}

	mu    sync.Mutex
	lines map[string]string // what follows the colon, by what is before it
	more  chan struct{}     // closed at the next line
	log   []string
}

// start runs an instance, and does not wait until it is ready.
func start(t *testing.T, program, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, name, exec.Command(program, append([]string{name}, args...)...))
}

func startCommand(t *testing.T, name string, command *exec.Cmd) *process {
	t.Helper()
	p := &process{
		name: name, command: command,
		lines: make(map[string]string), more: make(chan struct{}), ended: make(chan struct{}),
	}
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	p.input, err = p.command.StdinPipe()
	must(t, err)
	output, err := p.command.StdoutPipe()
	must(t, err)
	p.command.Stderr = p.command.Stdout
	must(t, p.command.Start())
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			p.heard(lines.Text())
		}
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", name, strings.Join(p.log, "\n"))
		}
	})
	return p
}

func (p *process) heard(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what, answer, _ := strings.Cut(line, ": ")
	p.lines[what] = answer
	p.log = append(p.log, line)
	close(p.more)
	p.more = make(chan struct{})
}

func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.ended
	_ = p.command.Wait()
}

// says returns what the process says of something, when it does.
func (p *process) says(t *testing.T, what string) string {
	t.Helper()
	patience := time.After(2 * time.Minute)
	for {
		p.mu.Lock()
		answer, ok := p.lines[what]
		more := p.more
		p.mu.Unlock()
		if ok {
			return answer
		}
		select {
		case <-more:
		case <-p.ended:
			t.Fatalf("%s has ended, and did not say %q", p.name, what)
		case <-patience:
			t.Fatalf("%s does not say %q", p.name, what)
		}
	}
}

// tell sends a line to the process.
func (p *process) tell(t *testing.T, line string) {
	t.Helper()
	_, err := io.WriteString(p.input, line+"\n")
	must(t, err)
}

// does sends a line, and returns the answer, which names its first two words.
func (p *process) does(t *testing.T, line string) string {
	t.Helper()
	p.tell(t, line)
	return p.says(t, strings.Join(strings.Fields(line)[:2], " "))
}

// want sends a line, and checks the answer.
func (p *process) want(t *testing.T, line, want string) {
	t.Helper()
	if got := p.does(t, line); !strings.Contains(got, want) {
		t.Errorf("%s, %s: %q, want %q", p.name, line, got, want)
	}
}

// runs counts the executions of a key.
func (p *process) runs(key string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		if strings.HasPrefix(line, "ran "+key+":") {
			n++
		}
	}
	return n
}
