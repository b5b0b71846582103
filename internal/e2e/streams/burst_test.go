package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/proctest"
	"github.com/oncemore-dev/oncemore/wrapper"
)

const burst = 60

// serve starts a wrapped mucp server in this process, where -race sees it.
func serve(t *testing.T, opts ...server.Option) string {
	t.Helper()
	address := proctest.Address(proctest.ReservePort(t))
	all := append([]server.Option{
		server.Name(fixture.DefaultService), server.Address(address), server.Advertise(address),
		server.Registry(fixture.NewRegistry(nil)), server.Broker(broker.NewMemoryBroker()),
		server.Transport(transport.NewHTTPTransport()),
	}, opts...)
	s := wrapServer(t, server.NewServer(all...))
	if err := s.Handle(s.NewHandler(new(Streams))); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return address
}

func wrapServer(t *testing.T, s server.Server) server.Server {
	t.Helper()
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	guard, err := idempotency.New(store)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := wrapper.WrapServer(s, guard)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

// TestMessagesSentBackToBackArriveAsTheyWereSent, where a bare server sends the last
// of them again and again, from a buffer that it writes to and reads from at once.
func TestMessagesSentBackToBackArriveAsTheyWereSent(t *testing.T) {
	address := serve(t)
	for _, tt := range []struct {
		contentType, endpoint string
		count                 func(client.Stream) error
	}{
		{"application/protobuf", numbers, countNumbers},
		{"application/json", points, countPoints},
	} {
		t.Run(tt.contentType, func(t *testing.T) {
			bare := fixture.NewClient(t, fixture.MUCP, []string{address}, client.ContentType(tt.contentType))
			for i := range 100 {
				if err := streamed(t, bare, tt.endpoint, tt.count); err != nil {
					t.Errorf("stream %d: %v", i+1, err)
				}
			}
		})
	}
}

// streamed opens a stream, and closes it when it was used.
func streamed(t *testing.T, c client.Client, endpoint string, use func(client.Stream) error, opts ...client.CallOption) (err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := open(ctx, c, endpoint, opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	return use(stream)
}

func countNumbers(stream client.Stream) error {
	if err := send(stream, strconv.Itoa(burst)); err != nil {
		return err
	}
	for i := range burst {
		if err := expect(stream, strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return expectEnd(stream)
}

func countPoints(stream client.Stream) error {
	if err := stream.Send(&Point{X: burst}); err != nil {
		return err
	}
	return receivePoints(stream, burst)
}

func receivePoints(stream client.Stream, n int) error {
	for i := range n {
		var got Point
		want := Point{X: i, Y: -i, Name: strings.Repeat("<&>", i%5)}
		if err := stream.Recv(&got); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("received %v, want %v", got, want)
		}
	}
	return expectEnd(stream)
}
