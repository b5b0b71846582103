package wrapper_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// saysNoRetry tells whether an answer asks its caller not to try again.
func saysNoRetry(err error) bool {
	mark, ok := retryfunc.ParseMark(err)
	return ok && mark.NoRetry
}

// passingOn is a handler that calls c, and makes an error of the one it gets.
func passingOn(t *testing.T, c client.Client, say func(error) error, opts ...client.CallOption) server.HandlerFunc {
	t.Helper()
	return wrapHandler(t, func(ctx context.Context, _ server.Request, _ any) error {
		_, _, err := call(ctx, c, read, opts...)
		return say(err)
	})
}

func theSame(err error) error { return err }

// TestWhatFailedForGood: only what a callee's instances have answered with, and no
// other may answer otherwise.
func TestWhatFailedForGood(t *testing.T) {
	failure := merrors.InternalServerError("bank", "no")
	tests := []struct {
		name    string
		answers []error
		opts    []client.CallOption
		want    bool
	}{
		{"each instance fails", []error{failure}, nil, true},
		{"two attempts", []error{failure}, []client.CallOption{wrapper.WithAttempts(2)}, true},
		{"one attempt: nobody has looked elsewhere", []error{failure}, []client.CallOption{wrapper.WithoutRetry()}, false},
		{"nobody is reached", []error{errRefused}, nil, false},
		{"nobody is reached in the end", []error{failure, errRefused, errRefused}, nil, false},
		{"a callee of the callee failed for good", []error{marked(500, "bank", retryfunc.Mark{Kind: retryfunc.MarkFailed, Service: "vault"})}, nil, true},
		{"all refuse", []error{retryfunc.NewMarked(503, "busy", retryfunc.Mark{Kind: retryfunc.MarkRefused, Service: "bank"})}, nil, false},
		{"an answer", []error{merrors.NotFound("bank", "no")}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := &recorder{answers: tt.answers}
			c := newWire(t, nodes("a", "b", "c"), wire.wire, safety(t))
			for _, ctx := range []context.Context{t.Context(), keyed(t.Context(), "k"), keyed(t.Context(), "k")} {
				err := tip(ctx, passingOn(t, c, theSame, tt.opts...))
				if got := saysNoRetry(err); err == nil || got != tt.want {
					t.Errorf("%v says no retry: %v, want %v", err, got, tt.want)
				}
			}
		})
	}
}

func marked(code int32, id string, m retryfunc.Mark) error {
	e := retryfunc.NewMarked(code, "no", m)
	e.Id = id
	return e
}

// TestOneAnswerInBetween: where the endpoint is answered, nothing has failed for good.
func TestOneAnswerInBetween(t *testing.T) {
	failure := merrors.InternalServerError("bank", "no")
	c := newWire(t, nodes("a", "b", "c"), (&recorder{answers: []error{failure, failure, nil}}).wire, safety(t))
	handle := passingOn(t, c, func(error) error { return merrors.InternalServerError("shop", "no") })
	if err := tip(t.Context(), handle); saysNoRetry(err) {
		t.Error(err)
	}
}

// TestHandlersOwnError: which errors of a handler are taken for its callee's, and that
// nothing of them changes but the mark.
func TestHandlersOwnError(t *testing.T) {
	failure := merrors.InternalServerError("bank", "the vault is shut")
	tests := []struct {
		name string
		say  func(error) error
		want bool
	}{
		{"the same", theSame, true},
		{"of its words", func(err error) error {
			return merrors.InternalServerError("shop", "bank: %s", merrors.Parse(err.Error()).Detail)
		}, true},
		{"of its text", func(err error) error { return merrors.New("shop", "bank: "+err.Error(), 503) }, true},
		{"its own", func(error) error { return merrors.InternalServerError("shop", "our disk is full") }, false},
		{"an answer", func(err error) error { return merrors.New("shop", err.Error(), 404) }, false},
		{"without a code", func(err error) error { return fmt.Errorf("bank: %w", err) }, false}, // nobody repeats it on mucp
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newWire(t, nodes("a", "b"), (&recorder{answers: []error{failure}}).wire, safety(t))
			var bare error
			err := tip(t.Context(), passingOn(t, c, func(err error) error {
				bare = tt.say(err)
				return bare
			}))
			if got := saysNoRetry(err); got != tt.want {
				t.Errorf("%v says no retry: %v, want %v", err, got, tt.want)
			}
			want, got := merrors.Parse(bare.Error()), merrors.Parse(err.Error())
			if !tt.want && err.Error() != bare.Error() || got.Id != want.Id || got.Code != want.Code || got.Detail != want.Detail {
				t.Errorf("the caller gets %v, bare %v", got, want)
			}
		})
	}
}

// TestErrorOfTheLeafIsWhatItWas at the other end of a chain.
func TestErrorOfTheLeafIsWhatItWas(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		h := startHops(t, transport, fixture.InternalError, 1, 2)
		err := h.call(t.Context(), "no", 5*time.Second)
		if err == nil {
			t.Fatal("answered")
		}
		e := merrors.Parse(err.Error())
		if e.Id != "fixture" || e.Code != 500 || e.Detail != "no" || !saysNoRetry(err) {
			t.Errorf("%v", err)
		}
	})
}

// TestPushbackOfAPlainServer: grpc's word for when to try again, or not to.
func TestPushbackOfAPlainServer(t *testing.T) {
	tests := []struct {
		name     string
		pushback []string
		runs     int32
		waits    time.Duration
	}{
		{"none", nil, 3, 0},
		{"wait", []string{"300"}, 3, 600 * time.Millisecond},
		{"longer than there is time", []string{"3600000"}, 2, 500 * time.Millisecond},
		{"no more", []string{"-1"}, 1, 0},
		{"unreadable", []string{"soon"}, 1, 0},
		{"twice", []string{"1", "1"}, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &echoer{echo: func(ctx context.Context, _ string) (string, error) {
				md := grpcmetadata.MD{}
				md.Append(retryfunc.TrailerPushback, tt.pushback...)
				if err := grpc.SetTrailer(ctx, md); err != nil {
					return "", err
				}
				return "", status.Error(codes.Unavailable, "no")
			}}
			address := e.serve(t, noInterceptor)
			c := wrap(t, fixture.NewClient(t, fixture.GRPC, []string{address}), fixtureSafety(t))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			var story wrapper.Report
			if _, err := fixture.Call(ctx, c, fixture.Echo, "x", wrapper.WithStory(&story)); err == nil {
				t.Fatal("answered")
			}
			if runs := e.runs.Load(); runs < min(tt.runs, 2) || runs > 3 || tt.runs == 1 && runs != 1 {
				t.Errorf("%d executions, want %d: %s", runs, tt.runs, story.Story())
			}
			if story.Took < tt.waits {
				t.Errorf("the retries waited for %v, want %v: %s", story.Took, tt.waits, story.Story())
			}
		})
	}
}

func noInterceptor(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(ctx, req)
}

// TestPushbackIsSent to callers that know grpc and no marks: a chain's failure says
// that nobody need try again.
func TestPushbackIsSent(t *testing.T) {
	h := startHops(t, fixture.GRPC, fixture.InternalError, 1, 1)
	conn, err := grpc.Dial(h.nodes[0][0].Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	var trailer grpcmetadata.MD
	err = conn.Invoke(t.Context(), "/callee.Hop/Go", wrapperspb.String("no"), new(wrapperspb.StringValue), grpc.Trailer(&trailer))
	if got := trailer.Get(retryfunc.TrailerPushback); status.Code(err) != codes.Internal || len(got) != 1 || got[0] != "-1" {
		t.Errorf("%v, with the trailer %v", err, trailer)
	}
}
