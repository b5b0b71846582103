package trust

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/fixture"
)

// TestRoundTrips counts, on the server's side of a Redis, what a call costs that
// comes over the wire: two commands the first time, and one for a duplicate.
func TestRoundTrips(t *testing.T) {
	place := bank.Open(t, bank.Redis)
	commands := watch(t, place.Server.Address())
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			f := bank.Start(t, place, transport, 1, bank.Config{})
			c := f.Client(t)
			for _, step := range []struct {
				name, key string
				want      []string
			}{
				{"the first call of all", "warm", nil}, // which connects, and loads the scripts
				{"a first call", "key", []string{"set", "evalsha"}},
				{"a duplicate", "key", []string{"set"}},
				{"another one", "key", []string{"set"}},
			} {
				commands()
				if _, err := bank.Pay(t.Context(), c, t.Name()+step.key); err != nil {
					t.Fatal(err)
				}
				if got := commands(); step.want != nil && !slices.Equal(got, step.want) {
					t.Errorf("%s cost %v, want %v", step.name, got, step.want)
				}
			}
		})
	}
}

// watch returns a function that returns the names of the commands that Redis was
// sent since the last time.
func watch(t *testing.T, address string) (commands func() []string) {
	t.Helper()
	told, say := dial(t, address), dial(t, address)
	lines := bufio.NewScanner(told)
	if _, err := fmt.Fprint(told, "MONITOR\r\n"); err != nil || !lines.Scan() {
		t.Fatal(err, lines.Err())
	}
	marks := 0
	return func() (names []string) {
		marks++
		mark := fmt.Sprintf("mark-%d-", marks)
		if _, err := fmt.Fprintf(say, "ECHO %s\r\n", mark); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			if strings.Contains(lines.Text(), mark) {
				return names
			}
			if name, ok := command(lines.Text()); ok {
				names = append(names, name)
			}
		}
		t.Fatal(lines.Err())
		return nil
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// command is the name of the command that a line of MONITOR tells of, unless a
// script sent it, or a connection that introduces itself.
func command(line string) (name string, ok bool) {
	source, rest, _ := strings.Cut(line, "] ")
	name, _, _ = strings.Cut(rest, " ")
	name = strings.ToLower(strings.Trim(name, `"`))
	return name, !strings.HasSuffix(source, " lua") && !slices.Contains([]string{"hello", "client", "ping", "info", "echo"}, name)
}
