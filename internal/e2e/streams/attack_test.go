package streams

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestSendAndRecvMeetDuringAReopening: each word is answered once and in order,
// though the instance dies while both are called.
func TestSendAndRecvMeetDuringAReopening(t *testing.T) {
	const words = 200
	for _, transport := range fixture.Transports() {
		healthy := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"})
		for _, fault := range faults {
			t.Run(transport+"/"+fault.name, func(t *testing.T) {
				h := startHolder(t, transport)
				for i := range runs(t) {
					c := newClient(t, transport, []*fixture.Node{h.Node, healthy})
					err := streamed(t, c, chat, func(s client.Stream) error {
						return converse(t, s, words, func() {
							h.awaitHeld(t.Context(), t, i+1)
							fault.strike(h.Node)
						})
					}, inOrder(h.Node, healthy), wrapper.WithAttempts(60))
					if err != nil {
						t.Errorf("run %d: %v", i+1, err)
					}
					fault.mend(h.Node)
				}
			})
		}
	}
}

// converse sends and receives words at the same time, while something happens.
func converse(t *testing.T, stream client.Stream, words int, meanwhile func()) error {
	t.Helper()
	var all sync.WaitGroup
	var sent, received error
	all.Go(meanwhile)
	all.Go(func() {
		for i := range words {
			if sent = send(stream, strconv.Itoa(i)); sent != nil {
				return
			}
		}
	})
	all.Go(func() {
		for i := range words {
			if received = expect(stream, strconv.Itoa(i)); received != nil {
				return
			}
		}
	})
	all.Wait()
	return errors.Join(sent, received)
}

// TestCloseAtAnyMoment ends Send and Recv, also while the stream is opened again, and
// waits for nobody.
func TestCloseAtAnyMoment(t *testing.T) {
	for _, transport := range fixture.Transports() {
		healthy := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"})
		h := startHolder(t, transport)
		nodes := []*fixture.Node{h.Node, healthy}
		for name, order := range map[string][]*fixture.Node{"before the first message": nodes, "after it": {healthy, h.Node}} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				c := newClient(t, transport, nodes)
				for range 40 {
					closeAmid(t, c, inOrder(order...), wrapper.WithAttemptTimeout(10*time.Millisecond))
				}
			})
		}
	}
}

func closeAmid(t *testing.T, c client.Client, opts ...client.CallOption) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := open(ctx, c, chat, opts...)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for send(stream, "word") == nil {
		}
	})
	all.Go(func() {
		for stream.Recv(new(wrapperspb.StringValue)) == nil {
		}
	})
	time.Sleep(rand.N(30 * time.Millisecond))
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	if ctx.Err() != nil {
		t.Error("Send or Recv ended with the context, not with Close")
	}
	if err := stream.Send(wrapperspb.String("late")); err == nil {
		t.Error("a closed stream sends")
	}
	if err := stream.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

// large is more than what a connection holds whose peer reads nothing.
const large = 1 << 20

// TestFrozenPeerWithFullBuffers before the first message: another instance is sent
// everything, and nothing of the stream that is left is there afterwards.
func TestFrozenPeerWithFullBuffers(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			healthy := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"})
			h := startHolder(t, transport)
			c := newClient(t, transport, []*fixture.Node{h.Node, healthy})
			err := streamed(t, c, collect, func(s client.Stream) error {
				if err := send(s, "a"); err != nil {
					return err
				}
				h.awaitHeld(t.Context(), t, 1)
				h.Freeze()
				word := strings.Repeat("b", large)
				if err := send(s, word, word, word, word, word, word, word, word, word, word, "end"); err != nil {
					return err
				}
				return expect(s, "a"+strings.Repeat(" "+strconv.Itoa(large), 10))
			}, inOrder(h.Node, healthy), wrapper.WithAttempts(60), wrapper.WithStreamBuffer(64<<20))
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFrozenPeerAfterTheHandover: a Send that fills its buffers ends with Close, and
// with the context of the stream, and so does a Recv.
func TestFrozenPeerAfterTheHandover(t *testing.T) {
	ends := map[string]func(client.Stream, context.CancelFunc) error{
		"Close":  func(s client.Stream, _ context.CancelFunc) error { return s.Close() },
		"cancel": func(_ client.Stream, cancel context.CancelFunc) error { cancel(); return nil },
	}
	for _, transport := range fixture.Transports() {
		for name, end := range ends {
			t.Run(transport+"/"+name, func(t *testing.T) {
				node := fixture.Start(t, fixture.Config{Transport: transport, Setup: "streams"})
				c := newClient(t, transport, []*fixture.Node{node})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stream, err := open(ctx, c, deaf)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(send(stream, "a"), expect(stream, "a")); err != nil {
					t.Fatal(err)
				}
				node.Freeze()
				endStuck(t, stream, func() error { return end(stream, cancel) })
				if err := stream.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// endStuck fills the stream until its Send waits for the peer, and ends it.
func endStuck(t *testing.T, stream client.Stream, end func() error) {
	t.Helper()
	var all sync.WaitGroup
	sent := make(chan struct{})
	all.Go(func() {
		for word := strings.Repeat("b", large); send(stream, word) == nil; {
			sent <- struct{}{}
		}
		close(sent)
	})
	all.Go(func() {
		if err := stream.Recv(new(wrapperspb.StringValue)); err == nil {
			t.Error("a frozen peer was heard")
		}
	})
	for stuck := false; !stuck; {
		select {
		case _, open := <-sent:
			if !open {
				t.Error("the stream failed before its end")
				stuck = true
			}
		case <-time.After(time.Second):
			stuck = true
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	go func() { // what was sent meanwhile
		for range sent {
		}
	}()
	all.Wait()
}
