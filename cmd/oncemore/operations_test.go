package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOperationsPage: a key that a crash has left is found and settled with the
// commands of the page, as they are written there.
func TestOperationsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := commandsOf(string(page))
	if len(commands) < 8 {
		t.Fatalf("the page has only the commands %q", commands)
	}
	tool := buildTool(t, string(page))
	for name, decision := range map[string]string{"executed": "--executed", "not executed": "--not-executed"} {
		t.Run(name, func(t *testing.T) {
			value := newSQLite(t)
			startWork(t, value, lease).Kill()
			awaitOrphan(t, value)
			t.Setenv("ONCEMORE_STORE", value)
			t.Setenv("PATH", tool+string(os.PathListSeparator)+os.Getenv("PATH"))
			s := &shell{}
			for _, c := range commands {
				if strings.Contains(c, " resolve ") && !strings.Contains(c, decision+" ") {
					continue // the other way to settle it
				}
				s.run(t, c)
			}
			if !strings.Contains(s.said[0], "orphaned") || !strings.Contains(s.said[0], "order-7") {
				t.Errorf("the first command does not find the key: %s", s.said[0])
			}
			if last := s.said[len(s.said)-1]; !strings.Contains(last, "there is none") {
				t.Errorf("the last command still finds a key: %s", last)
			}
			for _, c := range otherCommands(t, string(page)) {
				s.run(t, c)
			}
			runs, _ := repeat(t, value)
			if want := map[string]int{"--executed": 0, "--not-executed": 1}[decision]; runs != want {
				t.Errorf("%d executions afterwards, want %d", runs, want)
			}
		})
	}
}

// buildTool builds the tool with the page's first command, into the test's folder, and
// returns where it is.
func buildTool(t *testing.T, page string) (dir string) {
	t.Helper()
	build, _, _ := strings.Cut(page, "\nexport ")
	_, build, ok := strings.Cut(build, "```sh\n")
	if !ok || !strings.HasPrefix(build, "go build ") {
		t.Fatalf("the page does not begin with how the tool is built: %q", build)
	}
	tree := t.TempDir()
	c := exec.CommandContext(t.Context(), "bash", "-c", `PWD="`+tree+`"; `+build)
	c.Dir = "../.."
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v, %s", build, err, out)
	}
	return filepath.Join(tree, "bin")
}

// otherCommands returns the tool's commands of the page's other sections. None of them
// changes anything.
func otherCommands(t *testing.T, page string) (commands []string) {
	t.Helper()
	_, page, _ = strings.Cut(page, "\n## Other cases")
	for _, found := range regexp.MustCompile("`(oncemore [^`]+)`").FindAllStringSubmatch(page, -1) {
		commands = append(commands, found[1])
	}
	if len(commands) < 4 {
		t.Fatalf("the page's other sections have only the commands %q", commands)
	}
	return commands
}

// commandsOf returns the tool's commands of the page's first section.
func commandsOf(page string) (commands []string) {
	page, _, _ = strings.Cut(page, "\n## Other cases")
	inShell := false
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "```sh":
			inShell = true
		case line == "```":
			inShell = false
		case inShell && strings.HasPrefix(line, "oncemore "):
			commands = append(commands, line)
		}
	}
	return commands
}

// shell is a reader of the page who fills in what the commands before have said.
type shell struct{ said []string }

var storeKey = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

func (s *shell) run(t *testing.T, command string) {
	t.Helper()
	all := strings.Join(s.said, "\n")
	if key := storeKey.FindString(all); key != "" {
		command = strings.ReplaceAll(command, "STORE_KEY", key)
	}
	if words := confirmation.FindAllStringSubmatch(all, -1); len(words) > 0 {
		command = strings.ReplaceAll(command, "WORD", words[len(words)-1][1])
	}
	var stderr strings.Builder
	c := exec.CommandContext(t.Context(), "bash", "-c", command)
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v, %s", command, err, stderr.String())
	}
	s.said = append(s.said, string(out))
}
