package crash

import (
	"bufio"
	"context"
	"encoding/hex"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// attempt makes one attempt of a call on an instance.
func attempt(ctx context.Context, c client.Client, node *fixture.Node, key string) (string, error) {
	return bank.Attempt(ctx, c, key, time.Now(), client.WithAddress(node.Address()))
}

// TestLateAttempt: the first attempt lies in the socket of a frozen instance
// while the second, on another one, ends in an error that says that nothing has
// happened. The caller may be told so, and go away. When the instance thaws, it
// must not do what its caller believes undone.
func TestLateAttempt(t *testing.T) {
	eachScene(t, longLease, func(t *testing.T, s *scene) {
		key, c := t.Name()+"/call", s.Stock(t)
		frozen, other := s.Nodes[0], s.Nodes[1]
		s.freeze(t, c, frozen)
		late, sent := make(chan error, 1), time.Now()
		go func() {
			_, err := bank.Attempt(t.Context(), c, key, sent, client.WithAddress(frozen.Address()))
			late <- err
		}()
		awaitUnread(t, frozen, len(key))

		s.Director.Script(bank.Before, key, bank.Refuse)
		if _, err := attempt(t.Context(), c, other, key); merrors.FromError(err).Id != "bank" {
			t.Fatalf("second attempt: %v, want the handler's own error", err)
		}
		s.Director.Script(bank.Before, key, "")
		frozen.Thaw()
		err := <-late
		mark, ok := retryfunc.ParseMark(err)
		if e := merrors.FromError(err); err == nil || e.Code != http.StatusConflict || !ok || mark.Kind != retryfunc.MarkRefused || !mark.NoRetry {
			t.Errorf("the late attempt was answered %v, want 409, refused", err)
		}
		if n, rows := s.Director.Count(bank.Before, key), s.Place.Receipts(t, key); n != 1 || len(rows) != 0 {
			t.Errorf("%d executions, rows %q; want the one that was refused", n, rows)
		}
		receipt, err := attempt(t.Context(), c, frozen, key)
		if rows := s.Place.Receipts(t, key); err != nil || len(rows) != 1 || rows[0] != receipt {
			t.Errorf("a later attempt: %q, %v; rows %q", receipt, err, rows)
		}
	})
}

// freeze freezes an instance that the client is connected to: grpc sends
// nothing to one that it has never heard from.
func (s *scene) freeze(t *testing.T, c client.Client, node *fixture.Node) {
	t.Helper()
	if _, err := attempt(t.Context(), c, node, t.Name()+"/warm"); err != nil {
		t.Fatal(err)
	}
	node.Freeze()
}

// TestLateAttemptOfOneCall is TestLateAttempt with both attempts made by one call
// of a wrapped client, whose first has timed out.
func TestLateAttemptOfOneCall(t *testing.T) {
	eachScene(t, longLease, func(t *testing.T, s *scene) {
		key, stock := t.Name()+"/call", s.Stock(t)
		// A slow machine may time out on the living too; each tells the same.
		c := bank.Wrap(t, stock, wrapper.WithTrustedKeys(), wrapper.WithAttemptTimeout(500*time.Millisecond), wrapper.WithAttempts(10))
		frozen := s.Nodes[0]
		s.freeze(t, stock, frozen)
		s.Director.Script(bank.Before, key, bank.Refuse)
		var report wrapper.Report
		_, err := bank.Pay(wrapper.WithReport(t.Context(), &report), c, key,
			client.WithSelectOption(selector.WithStrategy(preferring(frozen.Address()))))
		if merrors.FromError(err).Id != "bank" || len(report.Attempts) < 2 || report.Attempts[0].Class != retryfunc.Timeout {
			t.Fatalf("call: %s; want a timeout and the handler's own error", bank.Story(err))
		}
		frozen.Thaw()
		// What was in the socket comes before what is sent now. On grpc it may
		// have been taken back, and then never arrives.
		if _, err := attempt(t.Context(), stock, frozen, key+"/after"); err != nil {
			t.Fatal(err)
		}
		if s.Transport() == fixture.MUCP {
			s.Director.Await(t, bank.Arrived, key, len(report.Attempts))
		}
		s.Director.Await(t, bank.Answered, key, s.Director.Count(bank.Arrived, key))
		for _, v := range s.Director.Visits(bank.Before, key) {
			if v.Process == frozen.ID() {
				t.Error("the late attempt was executed")
			}
		}
		if rows := s.Place.Receipts(t, key); len(rows) != 0 {
			t.Errorf("rows %q of what was refused", rows)
		}
	})
}

// preferring is a strategy that picks address wherever it may.
func preferring(address string) selector.Strategy {
	return func(services []*registry.Service) selector.Next {
		return func() (*registry.Node, error) {
			var other *registry.Node
			for _, service := range services {
				for _, node := range service.Nodes {
					if node.Address == address {
						return node, nil
					}
					other = node
				}
			}
			if other == nil {
				return nil, selector.ErrNoneAvailable
			}
			return other, nil
		}
	}
}

// awaitUnread returns when the kernel holds that many bytes on a connection to
// the node's process: more than what keeps a connection alive, and fewer than a
// request.
func awaitUnread(t *testing.T, node *fixture.Node, bytes int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); unread(t, node.Address()) < bytes; <-tick.C {
		if time.Since(start) > time.Minute {
			t.Fatal("no request came into the socket of the frozen instance")
		}
	}
}

// unread returns the most bytes that a connection to address has and that were
// not read: see proc(5) on /proc/net/tcp.
func unread(t *testing.T, address string) (most int) {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	local := ":" + strings.ToUpper(hex.EncodeToString([]byte{byte(n >> 8), byte(n)}))
	const established = "01"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 5 || !strings.HasSuffix(fields[1], local) || fields[3] != established {
				continue
			}
			_, queue, _ := strings.Cut(fields[4], ":")
			bytes, err := strconv.ParseInt(queue, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, int(bytes))
		}
	}
	return most
}
