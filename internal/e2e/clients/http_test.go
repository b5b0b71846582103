package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	httpclient "github.com/go-micro/plugins/v4/client/http"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// The endpoints of a web server.
const (
	mirror = "mirror" // answers the body it was sent
	drop   = "drop"   // does its work, and drops the connection
)

// web is an HTTP server that counts what it executes.
type web struct {
	*httptest.Server

	executions atomic.Int32
}

func startWeb(t *testing.T) *web {
	t.Helper()
	w := new(web)
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.executions.Add(1)
		if r.URL.Path == "/"+drop {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.Copy(rw, r.Body)
	}))
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		w.Close()
	})
	return w
}

func (w *web) address() string { return w.Listener.Addr().String() }

// silent accepts connections and says nothing, as a frozen process does.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// inOrder selects among nodes by their order, unless the call says otherwise.
type inOrder struct {
	selector.Selector
	services []*registry.Service
}

func (s inOrder) Select(_ string, opts ...selector.SelectOption) (selector.Next, error) {
	o := selector.SelectOptions{Strategy: func(services []*registry.Service) selector.Next {
		return func() (*registry.Node, error) { return services[0].Nodes[0], nil }
	}}
	for _, opt := range opts {
		opt(&o)
	}
	services := s.services
	for _, filter := range o.Filters {
		services = filter(services)
	}
	if len(services) == 0 {
		return nil, selector.ErrNoneAvailable
	}
	return o.Strategy(services), nil
}

func (inOrder) Mark(string, *registry.Node, error) {}

// newHTTPClient makes a stock client of nodes at the addresses.
func newHTTPClient(contentType string, addresses ...string) client.Client {
	s := &registry.Service{Name: "web", Version: "1"}
	for _, a := range addresses {
		s.Nodes = append(s.Nodes, &registry.Node{Id: a, Address: a, Metadata: map[string]string{"protocol": "http"}})
	}
	return httpclient.NewClient(client.ContentType(contentType), client.Selector(inOrder{services: []*registry.Service{s}}))
}

func wrap(t *testing.T, c client.Client, opts ...wrapper.ClientOption) client.Client {
	t.Helper()
	set, err := breaker.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	w, err := wrapper.NewClientWrapper(append([]wrapper.ClientOption{wrapper.WithBreaker(set)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return w(c)
}

const jsonType = "application/json"

// TestHTTPRefusedDial: nothing was sent, so that any call may go elsewhere.
func TestHTTPRefusedDial(t *testing.T) {
	alive := startWeb(t)
	c := wrap(t, newHTTPClient(jsonType, fixture.RefusedAddress(t), alive.address()))
	const calls = 40
	for range calls {
		var story wrapper.Report
		var rsp string
		err := c.Call(t.Context(), c.NewRequest("web", mirror, "hello"), &rsp, wrapper.WithStory(&story))
		if err != nil || rsp != "hello" {
			t.Errorf("answer %q, error %v: %s", rsp, err, story.Story())
		}
		if first := story.Attempts[0]; len(story.Attempts) > 1 && first.Class != retryfunc.NotSent {
			t.Errorf("a refused dial is %v", first)
		}
	}
	if got := alive.executions.Load(); got != calls {
		t.Errorf("%d calls were executed %d times", calls, got)
	}
}

// TestHTTPBrokenConnection: the request was sent, so that only a safe call is made
// again.
func TestHTTPBrokenConnection(t *testing.T) {
	for _, tt := range []struct {
		safety retryfunc.Safety
		want   int32
	}{{retryfunc.SafetyUnsafe, 1}, {retryfunc.SafetySafe, wrapper.DefaultAttempts}} {
		t.Run(tt.safety.String(), func(t *testing.T) {
			server := startWeb(t)
			c := wrap(t, newHTTPClient(jsonType, server.address()))
			var story wrapper.Report
			err := c.Call(t.Context(), c.NewRequest("web", drop, "hello"), new(string),
				wrapper.WithStory(&story), wrapper.WithSafety(retryfunc.Every(tt.safety)))
			if err == nil || story.Class() != retryfunc.Broken && story.Class() != retryfunc.Internal {
				t.Errorf("error %v: %s", err, story.Story())
			}
			if got := server.executions.Load(); got != tt.want {
				t.Errorf("%d executions, want %d: %s", got, tt.want, story.Story())
			}
		})
	}
}

type user struct{ Name, Mail string }

type envelope struct{ Data any }

// TestHTTPResponses compares what arrives in a response with what the bare client
// makes of it: on a first attempt, on a retry, and beside another.
func TestHTTPResponses(t *testing.T) {
	raw := func(s string) *json.RawMessage { m := json.RawMessage(s); return &m }
	for _, tt := range []struct {
		name        string
		contentType string
		body        any
		response    func() any
	}{
		{"struct", jsonType, &user{"Ann", "a"}, func() any { return new(user) }},
		{"filled struct", jsonType, raw(`{"Name":"Ann"}`), func() any { return &user{"Bob", "b"} }},
		{"envelope", jsonType, raw(`{"Data":{"Name":"Ann"}}`), func() any { return &envelope{new(user)} }},
		{"interface that holds a pointer", jsonType, raw(`{"Name":"Ann"}`), func() any { var a any = new(user); return &a }},
		{"interface", jsonType, raw(`{"Name":"Ann"}`), func() any { return new(any) }},
		{"filled map", jsonType, raw(`{"Name":"Ann"}`), func() any { return &map[string]any{"kept": 1} }},
		{"bytes", jsonType, raw(`"aGVsbG8="`), func() any { b := []byte("before"); return &b }},
		{"message in JSON", jsonType, raw(`{"value":"x"}`), func() any { return wrapperspb.String("before") }},
		{"nil", jsonType, raw(`{}`), func() any { return nil }},
		{"no pointer", jsonType, raw(`{"a":1}`), func() any { return map[string]any{"kept": 1} }},
		{"null", jsonType, raw(`null`), func() any { return &user{"Bob", "b"} }},
		{"another type", jsonType, raw(`{"Name":7}`), func() any { return &user{"Bob", "b"} }},
		{"message", "application/proto", wrapperspb.String("hello"), func() any { return new(wrapperspb.StringValue) }},
		{"filled message", "application/protobuf", wrapperspb.String(""), func() any { return wrapperspb.String("before") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alive, dead, frozen := startWeb(t), fixture.RefusedAddress(t), silent(t)
			run := func(c client.Client, opts ...client.CallOption) string {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				rsp := tt.response()
				if err := c.Call(ctx, c.NewRequest("web", mirror, tt.body), rsp, opts...); err != nil {
					return fmt.Sprintf("%T %v", err, merrors.FromError(err))
				}
				return describe(rsp)
			}
			want := run(newHTTPClient(tt.contentType, alive.address()), client.WithRetries(1))
			// What cannot be decoded is no better elsewhere; one attempt in a hundredth of the time.
			opts := []client.CallOption{
				wrapper.WithSafety(retryfunc.Every(retryfunc.SafetySafe)), wrapper.WithAttempts(100), wrapper.WithPolicy(unlessInternal),
			}
			for way, addresses := range map[string][]string{
				"first attempt": {alive.address()}, "retry": {dead, alive.address()}, "beside another": {frozen, alive.address()},
			} {
				if way == "beside another" && want[0] == '*' {
					continue // an error is no answer: the other attempt may have one yet
				}
				if got := run(wrap(t, newHTTPClient(tt.contentType, addresses...)), opts...); got != want {
					t.Errorf("%s: got %s, bare %s", way, got, want)
				}
			}
		})
	}
}

func unlessInternal(ctx context.Context, req client.Request, n int, err error) (bool, error) {
	if a, ok := retryfunc.AttemptFrom(ctx); ok && a.Class == retryfunc.Internal {
		return false, nil
	}
	return retryfunc.Careful(ctx, req, n, err)
}

func describe(rsp any) string {
	switch r := rsp.(type) {
	case *envelope:
		return fmt.Sprintf("%T %v", r.Data, r.Data)
	case *any:
		return fmt.Sprintf("%T %v", *r, *r)
	case proto.Message:
		return fmt.Sprint("message ", r)
	default:
		return fmt.Sprintf("%v", rsp)
	}
}

// TestHTTPClientHasNoContext in its options, which is where a second wrapper finds
// the first.
func TestHTTPClientHasNoContext(t *testing.T) {
	stock := newHTTPClient(jsonType, startWeb(t).address())
	if stock.Options().Context != nil {
		t.Fatal("it has one")
	}
	once := wrap(t, stock)
	if err := wrapper.Check(once); err != nil {
		t.Errorf("wrapped once: %v", err)
	}
	twice := wrap(t, once)
	if err := wrapper.Check(twice); !errors.Is(err, wrapper.ErrWrappedTwice) {
		t.Errorf("wrapped twice: Check says %v", err)
	}
	if err := twice.Call(t.Context(), twice.NewRequest("web", mirror, "hello"), new(string)); !errors.Is(err, wrapper.ErrWrappedTwice) {
		t.Errorf("wrapped twice: a call says %v", err)
	}
}

// TestHTTPClientIgnoresOptions that are the wrapper's, where there is none.
func TestHTTPClientIgnoresOptions(t *testing.T) {
	server := startWeb(t)
	c := newHTTPClient(jsonType, server.address())
	var rsp string
	err := c.Call(t.Context(), c.NewRequest("web", mirror, "hello"), &rsp, wrapper.WithAttempts(0), wrapper.WithPolicy(nil),
		wrapper.WithSafety(nil), wrapper.WithBackoff(nil), wrapper.WithAttemptTimeout(-1), wrapper.WithCallKey(""), wrapper.WithStory(nil))
	if err != nil || rsp != "hello" || server.executions.Load() != 1 {
		t.Errorf("answer %q, error %v, %d executions", rsp, err, server.executions.Load())
	}
}

// TestHTTPDeadline: a call ends with its caller's time, and not before.
func TestHTTPDeadline(t *testing.T) {
	c := wrap(t, newHTTPClient(jsonType, silent(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := c.Call(ctx, c.NewRequest("web", mirror, bytes.Repeat([]byte("x"), 10)), new(string))
	if e := merrors.FromError(err); err == nil || e.Code != 408 {
		t.Errorf("error %v, want a 408", err)
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("the call ended before its caller's time: %v", ctx.Err())
	}
}

// TestHTTPStreamOpensElsewhere: a dial that is refused opens no stream, and
// another instance does.
func TestHTTPStreamOpensElsewhere(t *testing.T) {
	alive := startWeb(t)
	c := wrap(t, newHTTPClient(jsonType, fixture.RefusedAddress(t), alive.address()))
	for range 10 {
		var story wrapper.Report
		stream, err := c.Stream(t.Context(), c.NewRequest("web", mirror, nil, client.StreamingRequest()), wrapper.WithStory(&story))
		if err != nil {
			t.Fatalf("error %v: %s", err, story.Story())
		}
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
	}
}
