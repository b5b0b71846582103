package redisstore

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// monitor sees the commands that clients send to a server, by the server's
// own account. Commands that scripts run are not among them.
type monitor struct {
	tb    testing.TB
	conn  net.Conn
	lines *bufio.Scanner
	marks int
}

func startMonitor(tb testing.TB, server *servertest.Server) *monitor {
	tb.Helper()
	conn, err := net.Dial("tcp", server.Address())
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, conn)
	m := &monitor{tb: tb, conn: conn, lines: bufio.NewScanner(conn)}
	m.lines.Buffer(nil, 16<<20)
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		tb.Fatal(err)
	}
	if _, err := fmt.Fprint(conn, "MONITOR\r\n"); err != nil || !m.lines.Scan() {
		tb.Fatal(err, m.lines.Err())
	}
	return m
}

// commands returns the names of the commands since the last time.
func (m *monitor) commands(say func(mark string) error) []string {
	m.tb.Helper()
	m.marks++
	mark := fmt.Sprintf("mark-%d", m.marks)
	if err := say(mark); err != nil {
		m.tb.Fatal(err)
	}
	housekeeping := []string{"hello", "client", "ping", "info", "echo"}
	var names []string
	for m.lines.Scan() {
		line := m.lines.Text()
		if strings.Contains(line, mark) {
			return names
		}
		source, rest, _ := strings.Cut(line, "] ")
		name := strings.ToLower(strings.Trim(strings.SplitN(rest, " ", 2)[0], `"`))
		if !strings.HasSuffix(source, " lua") && !slices.Contains(housekeeping, name) {
			names = append(names, name)
		}
	}
	m.tb.Fatalf("the monitor has ended: %v", m.lines.Err())
	return nil
}
