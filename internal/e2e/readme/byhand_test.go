//go:build linux

package readme

import (
	"context"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/internal/proctest"
)

// TestByHand types what README tells to type, on ports that are free.
func TestByHand(t *testing.T) {
	h := newHand(t)
	terminals, calls, money := h.blocks[0], h.blocks[1], h.blocks[2]
	if len(terminals) != 3 || len(calls) != 3 || len(money) != 2 {
		t.Fatalf("README has other commands than this test knows: %q", h.blocks)
	}
	first := h.start(t, terminals[0], h.ports["9001"])
	h.start(t, terminals[1], h.ports["9002"])
	h.start(t, terminals[2], h.ports["8080"])
	for range 4 {
		h.want(t, calls[0], `"message":"Hello xuxu"`)
	}
	h.kill(t, calls[1], first)
	for range 10 {
		h.want(t, calls[2], `"message":"Hello xuxu"`)
	}
	for range 3 {
		h.want(t, money[0], `"balance_cents":500`)
	}
	h.want(t, money[1], `"balance_cents":500`)
}

// hand has README's commands, with other ports.
type hand struct {
	ports  map[string]int
	blocks [][]string // the commands of each block
}

func newHand(t *testing.T) *hand {
	t.Helper()
	h := &hand{ports: make(map[string]int)}
	_, section, _ := strings.Cut(read(t, root+"/README.md"), "\n## Try it by hand\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, port := range []string{"9001", "9002", "8080"} {
		h.ports[port] = proctest.ReservePort(t)
		section = strings.ReplaceAll(section, port, strconv.Itoa(h.ports[port]))
	}
	for _, found := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		block := strings.ReplaceAll(found[1], "\\\n", " ")
		h.blocks = append(h.blocks, strings.Split(strings.TrimSpace(block), "\n"))
	}
	t.Setenv("TMPDIR", t.TempDir()) // where hello-srv keeps its ledger
	t.Setenv("HELLO_NODES", proctest.Address(h.ports["9001"])+","+proctest.Address(h.ports["9002"]))
	t.Setenv("USER_API_ADDRESS", proctest.Address(h.ports["8080"]))
	return h
}

// start types a command into a terminal of its own, and waits until it serves.
func (h *hand) start(t *testing.T, command string, port int) *proctest.Process {
	t.Helper()
	words := strings.Fields(command)
	return proctest.Start(t, proctest.Command{
		Name: command, Path: words[0], Args: words[1:], Dir: root,
		Ready: func(ctx context.Context) error {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", proctest.Address(port))
			if err != nil {
				return err
			}
			return c.Close()
		},
	})
}

// shell types a command, and returns what it prints. The shell reads it, so that it is
// not among the arguments that pgrep looks at.
func shell(t *testing.T, command string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "bash", "-e")
	c.Stdin = strings.NewReader(command + "\n")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return string(out)
}

func (h *hand) want(t *testing.T, command, want string) {
	t.Helper()
	if got := shell(t, command); !strings.Contains(got, want) {
		t.Errorf("%s: %q, want %q", command, got, want)
	}
}

// kill does what a command does that kills an instance, having seen that it means that
// one alone.
func (h *hand) kill(t *testing.T, command string, started *proctest.Process) {
	t.Helper()
	search := regexp.MustCompile(`^kill -9 \$\((.*)\)$`).FindStringSubmatch(command)
	if search == nil {
		t.Fatalf("%s kills nothing", command)
	}
	found := strings.TrimSpace(shell(t, search[1]))
	parent := strings.TrimSpace(shell(t, "ps -o ppid= -p "+found))
	if found != strconv.Itoa(started.PID()) && parent != strconv.Itoa(started.PID()) {
		t.Fatalf("%s means %s, a child of %s; want %d", command, found, parent, started.PID())
	}
	started.Kill()
}
