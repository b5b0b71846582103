package tcpproxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/tcpproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers every line with itself, and counts them.
type echo struct {
	address string
	lines   atomic.Int32
}

func startEcho(t *testing.T) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{address: listener.Addr().String()}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { e.serve(conn) })
		}
	})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
	})
	return e
}

func (e *echo) serve(conn net.Conn) {
	defer conn.Close()
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		e.lines.Add(1)
		if _, err := io.WriteString(conn, line); err != nil {
			return
		}
	}
}

type client struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, address string) client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client{conn, bufio.NewReader(conn)}
}

func (c client) ask(line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	return c.in.ReadString('\n')
}

func (c client) wantEcho(t *testing.T, line string) {
	t.Helper()
	if got, err := c.ask(line); err != nil || got != line+"\n" {
		t.Fatalf("answer %q, %v; want %q", got, err, line)
	}
}

func TestCatch(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(t *testing.T, c *tcpproxy.Catch)
		answer bool
		seen   int32 // lines that the server has seen, the first included
	}{
		"pass":       {func(_ *testing.T, c *tcpproxy.Catch) { c.Pass() }, true, 2},
		"drop":       {func(_ *testing.T, c *tcpproxy.Catch) { c.Drop() }, false, 1},
		"lose reply": {func(t *testing.T, c *tcpproxy.Catch) { c.LoseReply(); c.WaitLost(t) }, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			server := startEcho(t)
			proxy := tcpproxy.Start(t, server.address)
			held := proxy.Catch("COMMIT")
			conn := dial(t, proxy.Address())
			conn.wantEcho(t, "BEGIN")
			answered := make(chan error, 1)
			go func() {
				_, err := conn.ask("COMMIT")
				answered <- err
			}()
			held.Wait(t)
			if server.lines.Load() != 1 {
				t.Error("the server has seen what was held")
			}
			c.end(t, held)
			held.Drop() // too late to change anything
			if err := <-answered; (err == nil) != c.answer {
				t.Errorf("answer: %v", err)
			}
			if got := server.lines.Load(); got != c.seen {
				t.Errorf("the server has seen %d lines, want %d", got, c.seen)
			}
			dial(t, proxy.Address()).wantEcho(t, "COMMIT") // one catch holds one piece
		})
	}
}

func TestCut(t *testing.T) {
	proxy := tcpproxy.Start(t, startEcho(t).address)
	conn := dial(t, proxy.Address())
	conn.wantEcho(t, "one")
	proxy.Cut()
	if _, err := conn.ask("two"); err == nil {
		t.Error("a connection that was cut answered")
	}
	dial(t, proxy.Address()).wantEcho(t, "three")
}

func TestRefuse(t *testing.T) {
	proxy := tcpproxy.Start(t, startEcho(t).address)
	conn := dial(t, proxy.Address())
	conn.wantEcho(t, "one")
	proxy.Refuse()
	conn.wantEcho(t, "two")
	if late, err := net.Dial("tcp", proxy.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialled %v, %v, want it refused", late, err)
	}
}

func TestFreeze(t *testing.T) {
	proxy := tcpproxy.Start(t, startEcho(t).address)
	conn := dial(t, proxy.Address())
	conn.wantEcho(t, "one")
	proxy.Freeze()
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if answer, err := conn.ask("two"); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("answer %q, %v, while frozen", answer, err)
	}
	if proxy.Open() != 1 {
		t.Errorf("%d connections are open", proxy.Open())
	}
	proxy.Freeze() // again changes nothing
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	proxy.Thaw()
	if line, err := conn.in.ReadString('\n'); err != nil || line != "two\n" {
		t.Errorf("answer %q, %v, after the thaw", line, err)
	}
}

func TestDeaf(t *testing.T) {
	proxy := tcpproxy.StartDeaf(t, startEcho(t).address)
	var timeout net.Error
	for range 3 {
		conn, err := net.DialTimeout("tcp", proxy.Address(), 50*time.Millisecond)
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("dialled %v, %v, want no answer", conn, err)
		}
	}
	time.AfterFunc(50*time.Millisecond, proxy.Hear)
	dial(t, proxy.Address()).wantEcho(t, "one")
}

func TestSlow(t *testing.T) {
	proxy := tcpproxy.Start(t, startEcho(t).address)
	const wait = 200 * time.Millisecond
	proxy.Slow(wait)
	conn := dial(t, proxy.Address())
	began := time.Now()
	conn.wantEcho(t, "one")
	if took := time.Since(began); took < wait/2 {
		t.Errorf("the first answer took %v", took)
	}
	conn.wantEcho(t, "two")
	proxy.Slow(time.Hour)
	dial(t, proxy.Address()) // a test may end meanwhile
}

func TestNoServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", tcpproxy.Start(t, address).Address())
	if err != nil {
		return // reset so soon that even the dial noticed
	}
	defer conn.Close()
	if answer, err := (client{conn, bufio.NewReader(conn)}).ask("one"); err == nil {
		t.Errorf("nobody answered %q", answer)
	}
}

// TestEndsHeld shows that a test may end while something is held or frozen.
func TestEndsHeld(t *testing.T) {
	proxy := tcpproxy.Start(t, startEcho(t).address)
	held := proxy.Catch("held")
	for _, line := range []string{"held\n", "frozen\n"} {
		if _, err := io.WriteString(dial(t, proxy.Address()), line); err != nil {
			t.Fatal(err)
		}
	}
	held.Wait(t)
	proxy.Freeze()
}
