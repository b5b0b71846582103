package crash

import (
	"bufio"
	"context"
	"encoding/hex"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/idempotency"
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
		released := wantLate(t, err)
		if n, rows := s.Director.Count(bank.Before, key), s.Place.Receipts(t, key); n != 1 || len(rows) != 0 {
			t.Errorf("%d executions, rows %q; want the one that was refused", n, rows)
		}
		// Another caller whose clock is as slow is taken for late once, and not when
		// it has been told.
		wantLate(t, s.late(t.Context(), c, other, key, sent))
		knowing := metadata.Set(t.Context(), idempotency.HeaderReleased, idempotency.FormatIssued(released))
		receipt, err := bank.Attempt(knowing, c, key, sent, client.WithAddress(other.Address()))
		if rows := s.Place.Receipts(t, key); err != nil || len(rows) != 1 || rows[0] != receipt {
			t.Errorf("a later attempt: %q, %v; rows %q", receipt, err, rows)
		}
	})
}

// late makes an attempt that was sent at a time, and returns how it was refused.
func (s *scene) late(ctx context.Context, c client.Client, node *fixture.Node, key string, sent time.Time) error {
	_, err := bank.Attempt(ctx, c, key, sent, client.WithAddress(node.Address()))
	return err
}

// wantLate checks that an attempt was refused for being late, and returns the time
// that the refusal tells.
func wantLate(t *testing.T, err error) time.Time {
	t.Helper()
	mark, ok := retryfunc.ParseMark(err)
	if e := merrors.FromError(err); err == nil || e.Code != http.StatusConflict || !ok || mark.Kind != retryfunc.MarkRefused {
		t.Errorf("the late attempt was answered %v, want 409, refused", err)
	}
	if mark.NoRetry || mark.Released.IsZero() {
		t.Errorf("the mark is %+v, want one that tells of the release", mark)
	}
	return mark.Released
}

// TestSlowClock: a caller whose clock is half a minute slow is answered after a
// release as any other is, though it makes its calls one after another.
func TestSlowClock(t *testing.T) {
	eachScene(t, longLease, func(t *testing.T, s *scene) {
		key, stock := t.Name()+"/call", s.Stock(t)
		s.Director.Script(bank.Before, key, bank.Refuse)
		if _, err := attempt(t.Context(), stock, s.Nodes[0], key); merrors.FromError(err).Id != "bank" {
			t.Fatalf("first attempt: %v, want the handler's own error", err)
		}
		s.Director.Script(bank.Before, key, "")
		slow := &slowClock{Client: stock, by: 30 * time.Second}
		receipt, err := bank.Pay(t.Context(), bank.Wrap(t, slow, wrapper.WithTrustedKeys()), key)
		if rows := s.Place.Receipts(t, key); err != nil || len(rows) != 1 || rows[0] != receipt {
			t.Errorf("a caller with a slow clock: %q, %s; rows %q", receipt, bank.Story(err), rows)
		}
		if n := slow.sent.Load(); n < 2 {
			t.Errorf("it was answered at attempt %d, so that nothing was shown", n)
		}
	})
}

// slowClock is a client on a host whose clock is slow.
type slowClock struct {
	client.Client
	by   time.Duration
	sent atomic.Int32 // attempts
}

func (c *slowClock) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	last := func(o *client.CallOptions) { o.CallWrappers = append(o.CallWrappers, c.wrap) }
	return c.Client.Call(ctx, req, rsp, append(slices.Clip(opts), last)...)
}

// wrap sets back the time that an attempt carries.
func (c *slowClock) wrap(next client.CallFunc) client.CallFunc {
	return func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
		c.sent.Add(1)
		sent, _ := metadata.Get(ctx, idempotency.HeaderSent)
		if at, err := idempotency.ParseIssued(sent); err == nil && !at.IsZero() {
			ctx = metadata.Set(ctx, idempotency.HeaderSent, idempotency.FormatIssued(at.Add(-c.by)))
		}
		return next(ctx, node, req, rsp, opts)
	}
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
