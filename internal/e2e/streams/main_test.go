// Package streams lets instances die and freeze under open streams.
package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/leak"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// What a service process is told.
const (
	// envHold names the file that the handlers write a line to when they have received
	// their first message; they answer nothing then. Empty: they answer.
	envHold = "HOLD"
	// envDelay is how long the handlers take until they go on from their first message.
	envDelay = "DELAY"
)

// The endpoints of Streams.
const (
	numbers = "Streams.Numbers" // takes n, answers 0 to n-1 at once, and ends
	collect = "Streams.Collect" // takes words up to "end", answers them, or how long they are, in one
	chat    = "Streams.Chat"    // answers each word
	deaf    = "Streams.Deaf"    // answers the first word, and receives no other
	points  = "Streams.Points"  // takes n, answers that many points, in JSON only
	refuse  = "Streams.Refuse"  // answers the first message with a 400
	fail    = "Streams.Fail"    // ends with a plain error in its stead
	write   = "Streams.Write"   // is Chat, of which nobody knows whether it may run twice
)

func TestMain(m *testing.M) {
	fixture.Main(m,
		fixture.WithSetup("streams", wrapped),
		fixture.WithLeakOptions(leak.GoMicro()...),
		fixture.WithLeakOptions(leak.Hystrix()...))
}

// wrapped is a service of Streams that deduplicates.
func wrapped(i fixture.Instance) ([]server.Option, error) {
	store, err := memstore.New()
	if err != nil {
		return nil, err
	}
	guard, err := idempotency.New(store)
	if err != nil {
		return nil, err
	}
	wrap, err := wrapper.NewHandlerWrapper(i.Service, guard)
	if err != nil {
		return nil, err
	}
	delay, err := time.ParseDuration(cmp.Or(os.Getenv(envDelay), "0s"))
	if err != nil {
		return nil, err
	}
	i.Handle(&Streams{hold: os.Getenv(envHold), delay: delay})
	return []server.Option{server.WrapHandler(wrap)}, nil
}

// Streams is the handler.
type Streams struct {
	hold  string
	delay time.Duration
}

// Numbers is the endpoint numbers.
func (s *Streams) Numbers(ctx context.Context, stream server.Stream) error {
	word, err := s.first(ctx, stream)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(word)
	if err != nil {
		return err
	}
	for i := range n {
		if err := stream.Send(wrapperspb.String(strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}

// Collect is the endpoint collect.
func (s *Streams) Collect(ctx context.Context, stream server.Stream) error {
	var words []string
	word, err := s.first(ctx, stream)
	for err == nil && word != "end" {
		words = append(words, short(word))
		word, err = receive(stream)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return stream.Send(wrapperspb.String(strings.Join(words, " ")))
}

// short is a word, or the length of one that is not.
func short(word string) string {
	if len(word) <= 8 {
		return word
	}
	return strconv.Itoa(len(word))
}

// Chat is the endpoint chat.
func (s *Streams) Chat(ctx context.Context, stream server.Stream) error {
	word, err := s.first(ctx, stream)
	for err == nil {
		if err = stream.Send(wrapperspb.String(word)); err == nil {
			word, err = receive(stream)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Deaf is the endpoint deaf.
func (s *Streams) Deaf(ctx context.Context, stream server.Stream) error {
	word, err := s.first(ctx, stream)
	if err != nil {
		return err
	}
	if err := stream.Send(wrapperspb.String(word)); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// Write is the endpoint write.
func (s *Streams) Write(ctx context.Context, stream server.Stream) error { return s.Chat(ctx, stream) }

// Refuse is the endpoint refuse.
func (s *Streams) Refuse(ctx context.Context, stream server.Stream) error {
	word, err := s.first(ctx, stream)
	if err != nil {
		return err
	}
	return merrors.BadRequest("streams", "not %q", word)
}

// Fail is the endpoint fail.
func (s *Streams) Fail(ctx context.Context, stream server.Stream) error {
	word, err := s.first(ctx, stream)
	if err != nil {
		return err
	}
	return errors.New(word)
}

// Point is a message that is no protobuf.
type Point struct {
	X, Y int
	Name string
}

// Points is the endpoint points.
func (s *Streams) Points(ctx context.Context, stream server.Stream) error {
	var count Point
	if err := stream.Recv(&count); err != nil {
		return err
	}
	if err := s.pause(ctx, points); err != nil {
		return err
	}
	for i := range count.X {
		if err := stream.Send(&Point{X: i, Y: -i, Name: strings.Repeat("<&>", i%5)}); err != nil {
			return err
		}
	}
	return nil
}

// first receives the first message, and goes no further where it is to hold.
func (s *Streams) first(ctx context.Context, stream server.Stream) (string, error) {
	word, err := receive(stream)
	if err != nil {
		return "", err
	}
	return word, s.pause(ctx, word)
}

// pause is what a handler does when it has received its first message.
func (s *Streams) pause(ctx context.Context, word string) error {
	<-time.After(s.delay)
	if s.hold == "" {
		return nil
	}
	f, err := os.OpenFile(s.hold, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, word)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func receive(stream server.Stream) (string, error) {
	var word wrapperspb.StringValue
	err := stream.Recv(&word)
	return word.GetValue(), err
}
