package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func marked(kind retryfunc.MarkKind, code int32, after time.Duration) error {
	return retryfunc.NewMarked(code, "detail", retryfunc.Mark{Kind: kind, Service: helloService, RetryAfter: after})
}

func TestFailureOf(t *testing.T) {
	for _, tt := range []struct {
		name       string
		err        error
		status     int
		retryAfter time.Duration
		ambiguous  bool
	}{
		{"bad input", merrors.BadRequest(helloService, "detail"), 400, 0, false},
		{"other payload under the same key", merrors.New(helloService, "detail", 422), 422, 0, false},
		{"key too old", merrors.New(helloService, "detail", 412), 412, 0, false},
		{"handler is overloaded", merrors.New(helloService, "detail", 503), 503, 0, false},
		{"a code that means nothing here", merrors.New(helloService, "detail", 418), 502, 0, true},
		{"still running", marked(retryfunc.MarkRunning, 408, 3*time.Second), 409, 3 * time.Second, false},
		{"outcome unknown", marked(retryfunc.MarkUnknown, 409, 0), 409, time.Second, false},
		{"store down", marked(retryfunc.MarkRefused, 503, 2500*time.Millisecond), 503, 2500 * time.Millisecond, false},
		{"unknown service", merrors.InternalServerError("go.micro.client", "service %s: not found", helloService), 503, time.Second, false},
		{"timeout", merrors.Timeout("go.micro.client", "detail"), 504, 0, true},
		{"handler failed", merrors.InternalServerError(helloService, "detail"), 502, 0, true},
		{"caller left", context.Canceled, 499, 0, true},
		{"hystrix", errors.New("hystrix: timeout"), 502, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := failureOf(tt.err, wrapper.Report{})
			if got.status != tt.status || got.retryAfter != tt.retryAfter || got.ambiguous != tt.ambiguous {
				t.Errorf("got %+v, want status %d, retry after %v, ambiguous %t", got, tt.status, tt.retryAfter, tt.ambiguous)
			}
			if got.message == "" {
				t.Error("no message")
			}
		})
	}
}

func TestFailureLeftOpenByAnEarlierAttempt(t *testing.T) {
	oncemore, err := wrapper.NewClientWrapper(wrapper.WithTrustedKeys())
	if err != nil {
		t.Fatal(err)
	}
	wallet := hello.NewWalletService(helloService, fixture.NewClient(t, fixture.MUCP, nil, client.Wrap(oncemore)))
	var story wrapper.Report
	_, err = wallet.Tip(t.Context(), &hello.TipRequest{Student: "xuxu", AmountCents: 5},
		client.WithAddress(diesAsItIsCalled(t)), wrapper.WithStory(&story))
	if class := classOf(err, story); class != retryfunc.NotSent {
		t.Fatalf("the last attempt ended %v: %v", class, err)
	}
	if got := failureOf(err, story).ofWrite(); got.status != http.StatusConflict || !got.ambiguous || got.retryAfter == 0 {
		t.Errorf("got %+v, want 409 and an unknown outcome", got)
	}
}

// diesAsItIsCalled is the address of an instance that takes one connection and
// is gone.
func diesAsItIsCalled(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	t.Cleanup(func() {
		_ = listener.Close()
		<-gone
	})
	go func() {
		defer close(gone)
		conn, err := listener.Accept()
		_ = listener.Close()
		if err == nil {
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}
