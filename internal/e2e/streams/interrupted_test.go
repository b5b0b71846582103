package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// envRuns is how often each cell runs; 2 unless it is set.
const envRuns = "STREAM_RUNS"

func runs(t *testing.T) int {
	t.Helper()
	text := os.Getenv(envRuns)
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", envRuns, err)
	}
	return n
}

// holder is an instance whose handlers go no further than their first message.
type holder struct {
	*fixture.Node
	file string
}

func startHolder(t *testing.T, transport string) holder {
	t.Helper()
	h := holder{file: filepath.Join(t.TempDir(), "held")}
	h.Node = fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams", Env: []string{envHold + "=" + h.file}})
	return h
}

// awaitHeld waits until n handlers have received their first message.
func (h holder) awaitHeld(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for h.held(t) < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d handlers were reached, want %d", h.held(t), n)
		}
	}
}

func (h holder) held(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(h.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

// newClient is a wrapped client that goes to the nodes in their order.
func newClient(t *testing.T, transport string, nodes []*fixture.Node, opts ...wrapper.ClientOption) client.Client {
	t.Helper()
	return wrap(t, stock(t, transport, nodes), append(opts, tell(t))...)
}

// tell tells the story of every opening, if the test fails.
func tell(t *testing.T) wrapper.ClientOption {
	t.Helper()
	began := time.Now()
	return wrapper.WithObserver(wrapper.ObserverFunc(func(_ context.Context, e wrapper.Event) {
		if end, ok := e.(*wrapper.CallEnded); ok {
			t.Logf("after %v: %s: %v", time.Since(began).Round(time.Millisecond), end.Story(), end.Err)
		}
	}))
}

// stock is the client without oncemore.
func stock(t *testing.T, transport string, nodes []*fixture.Node, opts ...client.Option) client.Client {
	t.Helper()
	addresses := make([]string, len(nodes))
	for i, n := range nodes {
		addresses[i] = n.Address()
	}
	return fixture.NewClient(t, transport, addresses, opts...)
}

func wrap(t *testing.T, c client.Client, opts ...wrapper.ClientOption) client.Client {
	t.Helper()
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{
		numbers: retryfunc.SafetySafe, collect: retryfunc.SafetyIdempotent, chat: retryfunc.SafetyIdempotent,
		deaf: retryfunc.SafetyIdempotent, points: retryfunc.SafetySafe, refuse: retryfunc.SafetySafe, fail: retryfunc.SafetySafe,
	})
	if err != nil {
		t.Fatal(err)
	}
	wrap, err := wrapper.NewClientWrapper(append([]wrapper.ClientOption{wrapper.WithSafety(rule)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(c)
}

// inOrder prefers the nodes in the order of the addresses.
func inOrder(nodes ...*fixture.Node) client.CallOption {
	rank := func(n *registry.Node) int {
		return slices.IndexFunc(nodes, func(other *fixture.Node) bool { return other.Address() == n.Address })
	}
	return client.WithSelectOption(selector.WithStrategy(func(services []*registry.Service) selector.Next {
		var all []*registry.Node
		for _, s := range services {
			all = append(all, s.Nodes...)
		}
		slices.SortFunc(all, func(a, b *registry.Node) int { return rank(a) - rank(b) })
		return func() (*registry.Node, error) {
			if len(all) == 0 {
				return nil, selector.ErrNoneAvailable
			}
			return all[0], nil
		}
	}))
}

func open(ctx context.Context, c client.Client, endpoint string, opts ...client.CallOption) (client.Stream, error) {
	return c.Stream(ctx, fixture.NewRequest(c, endpoint, "", client.StreamingRequest()), opts...)
}

func send(stream client.Stream, words ...string) error {
	for _, word := range words {
		if err := stream.Send(wrapperspb.String(word)); err != nil {
			return fmt.Errorf("send %.16q: %w", word, err)
		}
	}
	return nil
}

// expect receives the words.
func expect(stream client.Stream, words ...string) error {
	for _, word := range words {
		var got wrapperspb.StringValue
		if err := stream.Recv(&got); err != nil {
			return fmt.Errorf("receive %q: %w", word, err)
		}
		if got.GetValue() != word {
			return fmt.Errorf("received %q, want %q", got.GetValue(), word)
		}
	}
	return nil
}

func expectEnd(stream client.Stream) error {
	if err := stream.Recv(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the stream ended with %v, want EOF", err)
	}
	return nil
}

// kinds are what streams are used for: what is done before the interruption, and what
// after it.
var kinds = []struct {
	endpoint string
	begin    func(client.Stream) error
	finish   func(client.Stream) error
}{
	{numbers, func(s client.Stream) error { return send(s, "5") }, func(s client.Stream) error {
		return errors.Join(expect(s, "0", "1", "2", "3", "4"), expectEnd(s))
	}},
	{collect, func(s client.Stream) error { return send(s, "a", "b") }, func(s client.Stream) error {
		return errors.Join(send(s, "c", "end"), expect(s, "a b c"), expectEnd(s))
	}},
	{chat, func(s client.Stream) error { return send(s, "a", "b") }, func(s client.Stream) error {
		return errors.Join(expect(s, "a", "b"), send(s, "c"), expect(s, "c"))
	}},
}

// faults are what happens to an instance under an open stream.
var faults = []struct {
	name   string
	strike func(*fixture.Node)
	mend   func(*fixture.Node)
}{
	{"SIGKILL", (*fixture.Node).Kill, (*fixture.Node).Restart},
	{"SIGSTOP", (*fixture.Node).Freeze, (*fixture.Node).Thaw},
}

// TestStreamsInterruptedBeforeTheirFirstMessageComplete on another instance, whatever
// was sent, each message once and in order.
func TestStreamsInterruptedBeforeTheirFirstMessageComplete(t *testing.T) {
	for _, transport := range fixture.Transports() {
		healthy := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"})
		for _, kind := range kinds {
			for _, fault := range faults {
				t.Run(transport+"/"+kind.endpoint+"/"+fault.name, func(t *testing.T) {
					h := startHolder(t, transport)
					done := 0
					for i := range runs(t) {
						c := newClient(t, transport, []*fixture.Node{h.Node, healthy})
						err := interrupted(t, c, h, i+1, kind.endpoint, kind.begin, fault.strike, kind.finish, inOrder(h.Node, healthy))
						if err != nil {
							t.Errorf("run %d: %v", i+1, err)
						} else {
							done++
						}
						fault.mend(h.Node)
					}
					t.Logf("%d of %d complete", done, runs(t))
				})
			}
		}
	}
}

func interrupted(
	t *testing.T, c client.Client, h holder, n int, endpoint string,
	begin func(client.Stream) error, strike func(*fixture.Node), finish func(client.Stream) error, opts ...client.CallOption,
) (err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := open(ctx, c, endpoint, append(opts, wrapper.WithAttempts(60))...) // a second each, until another begins beside it
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	if err := begin(stream); err != nil {
		return err
	}
	h.awaitHeld(ctx, t, n)
	strike(h.Node)
	return finish(stream)
}
