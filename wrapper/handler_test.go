package wrapper_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"
	"google.golang.org/grpc"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// keyed is a request's context as a foreign client would make it.
func keyed(ctx context.Context, key string, more ...string) context.Context {
	md := metadata.Metadata{idempotency.HeaderKey: key}
	for i := 0; i < len(more); i += 2 {
		md[more[i]] = more[i+1]
	}
	return metadata.NewContext(ctx, md)
}

// start starts one instance with the setup, and a stock client of it.
func start(t *testing.T, transport, setup string, opts ...client.Option) (*fixture.Node, client.Client) {
	t.Helper()
	node := fixture.Start(t, fixture.Config{Transport: transport, Setup: setup})
	return node, fixture.NewClient(t, transport, []string{node.Address()}, opts...)
}

// TestSevenSecondHandler: go-micro's client gives up an attempt after five
// seconds and tries again, five times in the half minute that the call may take,
// while the handler is still at it. grpc has no attempt timeout: there the caller
// gives up after five seconds and calls again, under the same key.
func TestSevenSecondHandler(t *testing.T) {
	t.Parallel()
	t.Run("wrapped", func(t *testing.T) {
		t.Parallel()
		attempts, executions, took, err := sevenSeconds(t, "memory")
		if err != nil || attempts != 2 || executions != 1 {
			t.Errorf("%d attempts, %d executions, error %v; want the second attempt to join the one execution", attempts, executions, err)
		}
		// That the second attempt was not given up too says that it took less than ten.
		if took < 7*time.Second {
			t.Errorf("answered after %v, before the handler could have", took)
		}
		t.Logf("answered after %v", took)
	})
	t.Run("bare", func(t *testing.T) {
		t.Parallel()
		attempts, executions, _, err := sevenSeconds(t, "")
		if err == nil || attempts != 5 || executions != 5 {
			t.Errorf("%d attempts, %d executions, error %v; want 5", attempts, executions, err)
		}
	})
	t.Run("wrapped, called twice on grpc", func(t *testing.T) {
		t.Parallel()
		node, stock := start(t, fixture.GRPC, "memory", client.Retries(0), client.RequestTimeout(5*time.Second))
		began := time.Now()
		if answer, err := fixture.Call(keyed(t.Context(), "transfer-1"), stock, fixture.Sleep, "7s"); merrors.FromError(err).Code != 408 {
			t.Errorf("the first call was answered %q, %v", answer, err)
		}
		answer, err := fixture.Call(keyed(t.Context(), "transfer-1"), stock, fixture.Sleep, "7s")
		if n := node.Executions(fixture.Sleep); err != nil || answer != node.ID() || n != 1 {
			t.Errorf("the second call was answered %q, %v; %d executions", answer, err, n)
		}
		if took := time.Since(began); took < 7*time.Second {
			t.Errorf("answered after %v, before the handler could have", took)
		}
	})
}

// sevenSeconds makes one keyed call of go-micro's own client, over mucp, and
// counts the attempts that it makes.
func sevenSeconds(t *testing.T, setup string) (attempts, executions int, took time.Duration, err error) {
	t.Helper()
	var sent atomic.Int64
	count := func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			sent.Add(1)
			return next(ctx, n, req, rsp, opts)
		}
	}
	node, stock := start(t, fixture.MUCP, setup, client.WrapCall(count))
	ctx, cancel := context.WithTimeout(keyed(t.Context(), "transfer-1"), 30*time.Second)
	defer cancel()
	began := time.Now()
	answer, err := fixture.Call(ctx, stock, fixture.Sleep, "7s")
	took = time.Since(began)
	if err == nil && answer != node.ID() {
		t.Errorf("answer %q", answer)
	}
	return int(sent.Load()), node.Executions(fixture.Sleep), took, err
}

func TestDuplicatesGetOneAnswer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node, stock := start(t, transport, "memory")
		const duplicates = 20
		answers := make([]string, duplicates)
		var wg sync.WaitGroup
		for i := range duplicates {
			wg.Go(func() {
				var err error
				if answers[i], err = fixture.Call(keyed(t.Context(), "one"), stock, fixture.Sleep, "200ms"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, answer := range answers {
			if answer != node.ID() {
				t.Errorf("answers differ: %q", answers)
				break
			}
		}
		if n := node.Executions(fixture.Sleep); n != 1 {
			t.Errorf("%d executions of %d duplicates", n, duplicates)
		}
	})
}

// TestErrorsAreRepeatedToTheLetter: a duplicate gets the recorded error, and it
// is the one that the first caller got.
func TestErrorsAreRepeatedToTheLetter(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node, stock := start(t, transport, "memory", client.Retries(0))
		for endpoint, code := range map[string]int32{
			fixture.BadRequest: 400, fixture.InternalError: 500, fixture.Fail: 500, fixture.Panic: 500,
		} {
			t.Run(endpoint, func(t *testing.T) {
				_, first := fixture.Call(keyed(t.Context(), "k"), stock, endpoint, "no")
				_, second := fixture.Call(keyed(t.Context(), "k"), stock, endpoint, "no")
				if first == nil || second == nil || first.Error() != second.Error() {
					t.Errorf("first %v, second %v", first, second)
				}
				if e := merrors.FromError(first); e.Code != code {
					t.Errorf("error %v, want code %d", first, code)
				}
				if n := node.Executions(endpoint); n != 1 {
					t.Errorf("%d executions", n)
				}
			})
		}
	})
}

// TestPanicIsAnswered without a key too: bare mucp would not answer at all. On
// grpc the plugin's own recovery comes first, and repeats what was panicked with.
func TestPanicIsAnswered(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		_, stock := start(t, transport, "memory", client.Retries(0))
		_, err := fixture.Call(t.Context(), stock, fixture.Panic, "secret")
		if e := merrors.FromError(err); err == nil || e.Code != 500 || transport == fixture.MUCP && strings.Contains(e.Detail, "secret") {
			t.Errorf("error %v", err)
		}
	})
}

// TestPanicOfTheCallerFunc is answered, and the process lives on.
func TestPanicOfTheCallerFunc(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node, stock := start(t, transport, "panicking", client.Retries(0))
		_, err := fixture.Call(keyed(t.Context(), "k"), stock, fixture.Sleep, "0s")
		if e := merrors.FromError(err); err == nil || e.Code != 500 || e.Id != fixture.DefaultService {
			t.Errorf("error %v, want the service's 500", err)
		}
		if answer, err := fixture.Call(t.Context(), stock, fixture.Echo, ""); err != nil || answer != node.ID() {
			t.Errorf("after the panic: %q, %v", answer, err)
		}
	})
}

// TestStreamsPassThrough the wrapper of a real server, with a key as without.
func TestStreamsPassThrough(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node, stock := start(t, transport, "memory")
		for range 2 {
			stream, err := stock.Stream(keyed(t.Context(), "k"), fixture.NewRequest(stock, fixture.Stream, "", client.StreamingRequest()))
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(wrapperspb.String("3")); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				var got wrapperspb.StringValue
				if err := stream.Recv(&got); err != nil || got.GetValue() != strconv.Itoa(i) {
					t.Errorf("message %d is %q, %v", i, got.GetValue(), err)
				}
			}
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
		}
		if n := node.Executions(fixture.Stream); n != 2 {
			t.Errorf("%d executions of two streams", n)
		}
	})
}

// TestReplayIsMarked in a grpc trailer; a first answer is not.
func TestReplayIsMarked(t *testing.T) {
	_, stock := start(t, fixture.GRPC, "memory")
	for i, want := range []string{"", "true"} {
		var trailer grpcmetadata.MD
		if _, err := fixture.Call(keyed(t.Context(), "k"), stock, fixture.Sleep, "0s", grpcclient.CallOptions(grpc.Trailer(&trailer))); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(trailer.Get(idempotency.HeaderReplayed), ","); got != want {
			t.Errorf("answer %d: replayed %q, want %q", i+1, got, want)
		}
	}
}

func TestBadKeys(t *testing.T) {
	old := time.Now().Add(-48 * time.Hour)
	tests := []struct {
		name     string
		endpoint string
		ctx      func(context.Context) context.Context
		code     int32
		says     string
	}{
		{"malformed", fixture.Sleep, func(ctx context.Context) context.Context { return keyed(ctx, "a b") }, 400, "visible ASCII"},
		{"too long", fixture.Sleep, func(ctx context.Context) context.Context { return keyed(ctx, strings.Repeat("k", 256)) }, 400, "256 characters"},
		{"missing", fixture.BadRequest, func(ctx context.Context) context.Context { return ctx }, 400, "needs an idempotency key"},
		{"minted for another", fixture.BadRequest, func(ctx context.Context) context.Context {
			return keyed(ctx, "k", idempotency.HeaderFor, "other/Fixture.BadRequest")
		}, 400, "minted for another call"},
		{"too old", fixture.Sleep, func(ctx context.Context) context.Context {
			return keyed(ctx, "k", idempotency.HeaderIssued, idempotency.FormatIssued(old))
		}, 412, "older than"},
		{"no time", fixture.Sleep, func(ctx context.Context) context.Context {
			return keyed(ctx, "k", idempotency.HeaderIssued, "yesterday")
		}, 400, "RFC 3339"},
		{"no time of sending", fixture.Sleep, func(ctx context.Context) context.Context {
			return keyed(ctx, "k", idempotency.HeaderSent, "soon")
		}, 400, idempotency.HeaderSent},
	}
	eachTransport(t, func(t *testing.T, transport string) {
		node, stock := start(t, transport, "memory", client.Retries(0))
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				_, err := fixture.Call(tt.ctx(t.Context()), stock, tt.endpoint, "0s")
				e := merrors.FromError(err)
				if err == nil || e.Id != retryfunc.MarkID || e.Code != tt.code || !strings.Contains(e.Detail, tt.says) {
					t.Errorf("error %v, want %d with %q", err, tt.code, tt.says)
				}
				if n := node.Executions(tt.endpoint); n != 0 {
					t.Errorf("%d executions", n)
				}
			})
		}
	})
}

func TestSameKeyOtherBody(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node, stock := start(t, transport, "memory", client.Retries(0))
		if _, err := fixture.Call(keyed(t.Context(), "k"), stock, fixture.Sleep, "0s"); err != nil {
			t.Fatal(err)
		}
		answer, err := fixture.Call(keyed(t.Context(), "k"), stock, fixture.Sleep, "1ms")
		if e := merrors.FromError(err); err == nil || e.Code != 422 || answer != "" {
			t.Errorf("answer %q, error %v", answer, err)
		}
		if n := node.Executions(fixture.Sleep); n != 1 {
			t.Errorf("%d executions", n)
		}
	})
}

// TestLeakedKeyDoesNothing: where keys are optional, one minted for another call
// is ignored.
func TestLeakedKeyDoesNothing(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node, stock := start(t, transport, "memory")
		ctx := keyed(t.Context(), "k", idempotency.HeaderFor, "shop/Order.Place")
		for range 2 {
			if _, err := fixture.Call(ctx, stock, fixture.Sleep, "0s"); err != nil {
				t.Fatal(err)
			}
		}
		if n := node.Executions(fixture.Sleep); n != 2 {
			t.Errorf("%d executions of two calls", n)
		}
	})
}

// TestKeyDoesNotTravelOn: a handler that makes a call of its own with its context,
// by go-micro's own client, does not hand its caller's key on.
func TestKeyDoesNotTravelOn(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		below := fixture.Start(t, fixture.Config{Transport: transport})
		node := fixture.Start(t, fixture.Config{Transport: transport, Setup: "memory", Relay: below.Address()})
		stock := fixture.NewClient(t, transport, []string{node.Address()})
		ctx := keyed(t.Context(), "k", idempotency.HeaderRetryCount, "1")
		if answer, err := fixture.Call(ctx, stock, fixture.Relay, ""); err != nil || answer != below.ID() {
			t.Fatalf("answer %q, error %v", answer, err)
		}
		if j := below.Journal(); len(j) != 1 || j[0].Key != "" || j[0].RetryCount != "" {
			t.Errorf("what arrived below: %+v", j)
		}
	})
}

func TestSameKeyOtherEndpoint(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node, stock := start(t, transport, "memory", client.Retries(0))
		for _, endpoint := range []string{fixture.InternalError, fixture.Fail} {
			if _, err := fixture.Call(keyed(t.Context(), "k"), stock, endpoint, "no"); err == nil {
				t.Error("no error")
			}
			if n := node.Executions(endpoint); n != 1 {
				t.Errorf("%d executions of %s", n, endpoint)
			}
		}
	})
}

func TestWaitingEnds(t *testing.T) {
	for setup, code := range map[string]int32{"impatient": 409, "patient": 408} {
		t.Run(setup, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, transport string) {
				node, stock := start(t, transport, setup, client.Retries(0))
				first := make(chan error, 1)
				go func() {
					_, err := fixture.Call(keyed(t.Context(), "k"), stock, fixture.Sleep, "2s")
					first <- err
				}()
				node.Await(fixture.Sleep, 1)
				_, err := fixture.Call(keyed(t.Context(), "k"), stock, fixture.Sleep, "2s")
				if e := merrors.FromError(err); err == nil || e.Code != code {
					t.Errorf("error %v, want %d", err, code)
				}
				if mark, ok := retryfunc.ParseMark(err); !ok || mark.Kind != retryfunc.MarkRunning || mark.RetryAfter == 0 {
					t.Errorf("mark %+v", mark)
				}
				if err := <-first; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestWrappedOnBothSides: a vouched call whose attempts time out joins its own
// first attempt, and its caller has the one answer.
func TestWrappedOnBothSides(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node, stock := start(t, transport, "memory", client.RequestTimeout(20*time.Second))
		c := wrap(t, stock, wrapper.WithTrustedKeys(), wrapper.WithAttemptTimeout(500*time.Millisecond), wrapper.WithAttempts(10))
		var report wrapper.Report
		answer, err := fixture.Call(wrapper.WithReport(t.Context(), &report), c, fixture.Sleep, "2s")
		if err != nil || answer != node.ID() {
			t.Fatalf("answer %q, error %v", answer, err.Error())
		}
		if n := node.Executions(fixture.Sleep); n != 1 || len(report.Attempts) < 2 {
			t.Errorf("%d executions, attempts %v", n, report.Attempts)
		}
	})
}

func TestWrongServerOptions(t *testing.T) {
	tests := map[string]struct {
		service string
		opts    []wrapper.ServerOption
	}{
		`service ""`:                 {"", nil},
		"guard nil":                  {"bank", nil},
		"WithKeyMode(KeyMode(9))":    {"bank", []wrapper.ServerOption{wrapper.WithKeyMode(9)}},
		"WithCaller(<nil>)":          {"bank", []wrapper.ServerOption{wrapper.WithCaller(nil)}},
		"WithServerObserver(<nil>)":  {"bank", []wrapper.ServerOption{wrapper.WithServerObserver(nil)}},
		`WithEndpointSettings("", 0`: {"bank", []wrapper.ServerOption{wrapper.WithEndpointSettings("")}},
		"nil option: leave it out":   {"bank", []wrapper.ServerOption{nil}},
	}
	for want, tt := range tests {
		if _, err := wrapper.NewHandlerWrapper(tt.service, nil, tt.opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("handler: error %v, want one with %q", err, want)
		}
		if _, err := wrapper.NewSubscriberWrapper(tt.service, nil, tt.opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("subscriber: error %v, want one with %q", err, want)
		}
	}
}
