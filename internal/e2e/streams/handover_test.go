package streams

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	frame "go-micro.dev/v4/codec/bytes"
	merrors "go-micro.dev/v4/errors"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// ends keeps how the openings of streams ended.
type ends struct {
	mu   sync.Mutex
	seen []wrapper.CallEnded
}

func (e *ends) option() wrapper.ClientOption {
	return wrapper.WithObserver(wrapper.ObserverFunc(func(_ context.Context, event wrapper.Event) {
		end, ok := event.(*wrapper.CallEnded)
		if !ok {
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.seen = append(e.seen, *end)
	}))
}

func (e *ends) all() []wrapper.CallEnded {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.seen)
}

// TestReopeningsAreTold: the story of the second opening is that of both, and the
// caller's own report stays that of the first.
func TestReopeningsAreTold(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			h, healthy := startHolder(t, transport), fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"})
			var seen ends
			var report wrapper.Report
			c := newClient(t, transport, []*fixture.Node{h.Node, healthy}, seen.option())
			err := interrupted(t, c, h, 1, chat, kinds[2].begin, (*fixture.Node).Kill, kinds[2].finish,
				inOrder(h.Node, healthy), wrapper.WithStory(&report))
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Attempts) != 1 || report.Err != nil {
				t.Errorf("the caller's report: %v, error %v", report.Story(), report.Err)
			}
			told := seen.all()
			if len(told) != 2 {
				t.Fatalf("%d ends were told, want 2", len(told))
			}
			story := told[1].Attempts
			if len(story) != 2 || told[1].Err != nil {
				t.Fatalf("the second end: %s, error %v", told[1].Story(), told[1].Err)
			}
			if story[0].Address != h.Address() || story[0].Class != retryfunc.Broken {
				t.Errorf("first attempt: %v, want broken on %s", story[0], h.Address())
			}
			if story[1].Address != healthy.Address() || story[1].Class != retryfunc.None {
				t.Errorf("second attempt: %v, want success on %s", story[1], healthy.Address())
			}
		})
	}
}

// TestStreamsThatAreHandedOver fail as bare ones do: after their first message, past
// the buffer, without one, with a single attempt, where the endpoint may not run
// twice, and where the caller reads or writes past the stream.
func TestStreamsThatAreHandedOver(t *testing.T) {
	first := func(s client.Stream) error { return errors.Join(send(s, "a"), expect(s, "a")) }
	word := func(s client.Stream) error { return send(s, "a") }
	tests := []struct {
		name, endpoint string
		answers        bool // the instance does
		begin          func(client.Stream) error
		option         client.CallOption
	}{
		{"after the first message", chat, true, first, nil},
		{"past the buffer", chat, false, func(s client.Stream) error { return send(s, "a", strings.Repeat("b", 64)) }, wrapper.WithStreamBuffer(32)},
		{"without a buffer", chat, false, word, wrapper.WithStreamBuffer(0)},
		{"with one attempt", chat, false, word, wrapper.WithoutRetry()},
		{"unknown", write, false, word, nil},
		{"response", chat, false, func(s client.Stream) error { _ = s.Response(); return word(s) }, nil},
		{"codec", chat, false, func(s client.Stream) error {
			if s.Request().Codec() == nil {
				return errors.New("no codec")
			}
			return word(s)
		}, nil},
	}
	for _, transport := range fixture.Transports() {
		healthy := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"})
		for _, tt := range tests {
			t.Run(transport+"/"+tt.name, func(t *testing.T) {
				var seen ends
				node, reached := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"}), func() {}
				if !tt.answers {
					h := startHolder(t, transport)
					node, reached = h.Node, func() { h.awaitHeld(t.Context(), t, 1) }
				}
				c := newClient(t, transport, []*fixture.Node{node, healthy}, seen.option())
				opts := []client.CallOption{inOrder(node, healthy)}
				if tt.option != nil {
					opts = append(opts, tt.option)
				}
				err := streamed(t, c, tt.endpoint, func(s client.Stream) error {
					if err := tt.begin(s); err != nil {
						t.Fatal(err)
					}
					reached()
					node.Kill()
					return s.Recv(new(wrapperspb.StringValue))
				}, opts...)
				if class := retryfunc.Classify(err, retryfunc.Evidence{Client: transport}); class != retryfunc.Broken {
					t.Errorf("the stream ended with %v, %v, want broken", err, class)
				}
				if n := len(seen.all()); n != 1 {
					t.Errorf("%d openings, want 1", n)
				}
			})
		}
	}
}

// TestAnswersOfHandlersPass as they do bare: an error is no reason to go elsewhere
// where a call would not, nor is an end without a message.
func TestAnswersOfHandlersPass(t *testing.T) {
	for _, transport := range fixture.Transports() {
		node := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"})
		nodes := []*fixture.Node{node}
		bare := stock(t, transport, nodes, client.Retries(0))
		for _, endpoint := range []string{refuse, fail, numbers} {
			t.Run(transport+"/"+endpoint, func(t *testing.T) {
				var seen ends
				c := newClient(t, transport, nodes, seen.option())
				answer := func(s client.Stream) error {
					if err := send(s, "0"); err != nil {
						t.Fatal(err)
					}
					return s.Recv(new(wrapperspb.StringValue))
				}
				want, got := streamed(t, bare, endpoint, answer), streamed(t, c, endpoint, answer)
				if want == nil || got == nil || got.Error() != want.Error() {
					t.Errorf("error %v, bare %v", got, want)
				}
				ev := retryfunc.Evidence{Client: transport}
				if g, w := retryfunc.Classify(got, ev), retryfunc.Classify(want, ev); g != w {
					t.Errorf("class %v, bare %v", g, w)
				}
				if g, w := merrors.Parse(got.Error()), merrors.Parse(want.Error()); g.Code != w.Code {
					t.Errorf("code %d, bare %d", g.Code, w.Code)
				}
			})
		}
	}
}

// TestSlowInstancesAreHeard: one that has had its share goes on beside the next.
func TestSlowInstancesAreHeard(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			slow := fixture.Config{Transport: transport, Setup: "streams", Env: []string{envDelay + "=3s"}}
			nodes := []*fixture.Node{fixture.Start(t, slow), fixture.Start(t, slow)}
			var seen ends
			c := newClient(t, transport, nodes, seen.option())
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			stream, err := open(ctx, c, chat, inOrder(nodes...))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(send(stream, "a", "b"), expect(stream, "a", "b"), stream.Close()); err != nil {
				t.Error(err)
			}
			told := seen.all()
			if len(told) != 2 {
				t.Fatalf("%d openings, want 2", len(told))
			}
			if reason := told[1].Attempts[0].Reason; reason != retryfunc.ReasonOverdue {
				t.Errorf("the second began since the first was %q, want %q", reason, retryfunc.ReasonOverdue)
			}
		})
	}
}

// TestRecvEndsWithTheContext on mucp, too: before the first message, and after it.
func TestRecvEndsWithTheContext(t *testing.T) {
	for _, transport := range fixture.Transports() {
		node, h := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"}), startHolder(t, transport)
		for name, tt := range map[string]struct {
			node  *fixture.Node
			begin func(client.Stream) error
		}{
			"before": {h.Node, func(s client.Stream) error { return send(s, "a") }},
			"after":  {node, func(s client.Stream) error { return errors.Join(send(s, "a"), expect(s, "a")) }},
		} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				c := newClient(t, transport, []*fixture.Node{tt.node})
				ctx, cancel := context.WithCancel(t.Context())
				stream, err := open(ctx, c, chat)
				if err != nil {
					t.Fatal(err)
				}
				if err := tt.begin(stream); err != nil {
					t.Fatal(err)
				}
				received := make(chan error, 1)
				go func() { received <- stream.Recv(new(wrapperspb.StringValue)) }()
				cancel()
				if err := <-received; err == nil || !strings.Contains(err.Error(), "context canceled") {
					t.Errorf("Recv returned %v", err)
				}
				if err := stream.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestTheFirstMessageIsTheSuccess that the breaker is told of.
func TestTheFirstMessageIsTheSuccess(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			var mu sync.Mutex
			var events []breaker.Event
			set, err := breaker.New(breaker.WithEventHook(func(_ string, e breaker.Event, _ time.Time, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			}))
			if err != nil {
				t.Fatal(err)
			}
			node := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"})
			c := newClient(t, transport, []*fixture.Node{node}, wrapper.WithBreaker(set))
			err = streamed(t, c, chat, func(s client.Stream) error {
				if err := send(s, "a"); err != nil {
					return err
				}
				mu.Lock()
				if len(events) != 0 {
					t.Errorf("events before the first message: %v", events)
				}
				mu.Unlock()
				return errors.Join(expect(s, "a"), send(s, "b"), expect(s, "b"))
			})
			if err != nil {
				t.Fatal(err)
			}
			if want := []breaker.Event{breaker.Success}; !slices.Equal(events, want) {
				t.Errorf("events %v, want %v", events, want)
			}
		})
	}
}

// TestWhateverIsEncodedIsSentAgain: JSON on mucp, and messages that are encoded
// already.
func TestWhateverIsEncodedIsSentAgain(t *testing.T) {
	encoded, err := proto.Marshal(wrapperspb.String("2"))
	if err != nil {
		t.Fatal(err)
	}
	askPoint := func(s client.Stream) error { return s.Send(&Point{X: 1}) }
	onePoint := func(s client.Stream) error { return receivePoints(s, 1) }
	asFrame := func(s client.Stream) error { return s.Send(&frame.Frame{Data: encoded}) }
	frames := func(s client.Stream) error {
		var got frame.Frame
		if err := s.Recv(&got); err != nil {
			return err
		}
		var zero wrapperspb.StringValue
		if err := proto.Unmarshal(got.Data, &zero); err != nil || zero.GetValue() != "0" {
			return errors.Join(errors.New("received "+zero.String()), err)
		}
		return errors.Join(expect(s, "1"), expectEnd(s))
	}
	for _, tt := range []struct {
		transport, contentType, endpoint string
		begin, finish                    func(client.Stream) error
	}{
		{fixture.MUCP, "application/json", points, askPoint, onePoint},
		{fixture.MUCP, "application/protobuf", numbers, asFrame, frames},
		{fixture.GRPC, "application/grpc+proto", numbers, asFrame, frames},
		{fixture.GRPC, "application/json", points, askPoint, onePoint},
	} {
		t.Run(tt.transport+"/"+tt.contentType, func(t *testing.T) {
			h, healthy := startHolder(t, tt.transport), fixture.Start(t, fixture.Config{Transport: tt.transport, Setup: "streams"})
			c := wrap(t, stock(t, tt.transport, []*fixture.Node{h.Node, healthy}, client.ContentType(tt.contentType)))
			err := interrupted(t, c, h, 1, tt.endpoint, tt.begin, (*fixture.Node).Kill, tt.finish, inOrder(h.Node, healthy))
			if err != nil {
				t.Error(err)
			}
		})
	}
}
