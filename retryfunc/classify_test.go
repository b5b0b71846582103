package retryfunc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"

	merrors "go-micro.dev/v4/errors"
)

// Errors as go-micro's clients make them, with its own constructors.
func internal(format string, args ...any) error {
	return merrors.InternalServerError("go.micro.client", format, args...)
}

func transportError(text string) error {
	return merrors.InternalServerError("go.micro.client.transport", "%s", text)
}

func unavailable(text string) error { return merrors.New("go.micro.client", text, 503) }

func timedOut(text string) error { return merrors.Timeout("go.micro.client", "%s", text) }

const refusedDial = "dial tcp 127.0.0.1:1: connect: connection refused"

var (
	mucp     = Evidence{Client: "mucp", Service: service}
	grpc     = Evidence{Client: "grpc", Service: service}
	answered = Evidence{Client: "grpc", Service: service, Answered: true}
	unsent   = Evidence{Client: "grpc", Service: service, Unsent: true}
	unknown  = Evidence{Service: service}
)

func TestClassify(t *testing.T) {
	grpcDial := `connection error: desc = "transport: Error while dialing: ` + refusedDial + `"`
	tests := []struct {
		name string
		err  error
		ev   Evidence
		want Class
	}{
		{"nothing", nil, mucp, None},
		{"mucp refused", internal("connection error: %s", refusedDial), mucp, NotSent},
		{"mucp dial timeout", internal("connection error: dial tcp 10.0.0.1:1: i/o timeout"), mucp, NotSent},
		{"mucp refused, answered", internal("connection error: %s", refusedDial), Evidence{Client: "mucp", Answered: true}, Internal},
		{"mucp text over grpc", internal("connection error: %s", refusedDial), grpc, Internal},
		{"mucp text over grpc, answered", internal("connection error: %s", refusedDial), answered, Internal},
		{"mucp text over unknown", internal("connection error: %s", refusedDial), unknown, Broken},
		{"mucp other code", merrors.New("go.micro.client", "connection error: "+refusedDial, 502), mucp, Application},
		{"another id", merrors.InternalServerError("bank", "connection error: %s", refusedDial), mucp, Internal},
		{"mucp eof", transportError("unexpected EOF"), mucp, Broken},
		{"mucp broken pipe", transportError("write tcp 127.0.0.1:1->127.0.0.1:2: write: broken pipe"), mucp, Broken},
		{"mucp transport over grpc", transportError("unexpected EOF"), grpc, Internal},
		{"mucp transport over unknown", transportError("unexpected EOF"), unknown, Broken},
		{"mucp read timeout", transportError("read tcp 127.0.0.1:1->127.0.0.1:2: i/o timeout"), mucp, Timeout},
		{"mucp http answer", transportError("502 Bad Gateway: upstream connect error"), mucp, Internal},
		{"mucp reply without its body", merrors.InternalServerError("go.micro.client.codec", "EOF"), mucp, Broken},
		{"mucp codec", merrors.InternalServerError("go.micro.client.codec", "invalid character"), mucp, Application},
		{"mucp client panic", internal("panic recovered: boom"), mucp, Internal},
		{"mucp attempt timeout", timedOut("<nil>"), mucp, Timeout},
		{"mucp deadline", timedOut("call timeout: context deadline exceeded"), mucp, Timeout},
		{"mucp canceled", timedOut("call timeout: context canceled"), mucp, Canceled},
		{"mucp canceled before", timedOut("context canceled"), mucp, Canceled},
		{"canceled unsent", timedOut("context canceled"), unsent, Canceled},
		{"relayed cancel", timedOut("call timeout: context canceled"), answered, Timeout},
		{"mucp backoff canceled", internal("backoff error: context canceled"), mucp, Canceled},
		{"mucp backoff deadline", internal("backoff error: context deadline exceeded"), mucp, Timeout},
		{"mucp backoff refuses", internal("backoff error: enough"), mucp, Application},
		{"grpc backoff deadline", internal("context deadline exceeded"), grpc, Timeout},
		{"unsupported codec", internal("unsupported Content-Type: text/x"), mucp, Application},
		{"unsupported codec, grpc", internal("unsupported Content-Type: text/x"), unsent, Application},
		{"call wrapper's own", merrors.Unauthorized("auth", "who?"), mucp, Application},

		{"service unknown", internal("service %s: not found", service), mucp, NoNode},
		{"service unknown, grpc", internal("service %s: not found", service), grpc, NoNode},
		{"no node, mucp", internal("error getting next %s node: none available", service), mucp, NoNode},
		{"no node, grpc", internal("error selecting %s node: none available", service), grpc, NoNode},
		{"callee found nobody", internal("service bank: not found"), grpc, Internal},
		{"callee found nobody, same name begins", internal("service %s-2: not found", service), grpc, Internal},
		{"callee found nobody, answered", internal("service %s: not found", service), answered, Internal},
		{"proxy found nobody", internal("service go.micro.proxy: not found"), mucp, NoNode},

		{"grpc refused", unavailable(grpcDial), grpc, Broken},
		{"grpc refused, unsent", unavailable(grpcDial), unsent, NotSent},
		{"grpc refused, answered", unavailable(grpcDial), answered, Internal},
		{"grpc both", unavailable(grpcDial), Evidence{Client: "grpc", Unsent: true, Answered: true}, Internal},
		{"grpc eof", unavailable("error reading from server: EOF"), grpc, Broken},
		{"grpc reset", unavailable("error reading from server: read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer"), grpc, Broken},
		{"grpc closing", unavailable("transport is closing"), grpc, Broken},
		{"grpc draining", unavailable("the connection is draining"), grpc, Broken},
		{"grpc pool closed", internal("grpc: the client connection is closing"), grpc, Broken},
		{"grpc no connection", internal("Error sending request: context deadline exceeded"), grpc, Broken},
		{"grpc bare 503", unavailable("overloaded"), grpc, Application},
		{"grpc handler's 503", merrors.New("hello", grpcDial, 503), grpc, Application},
		{"grpc deadline", timedOut("context deadline exceeded"), grpc, Timeout},
		{"grpc deadline, unsent", timedOut("context deadline exceeded"), unsent, NotSent},
		{"grpc canceled", timedOut("context canceled"), grpc, Canceled},
		{"grpc canceled first", internal("context canceled"), grpc, Canceled},
		{"grpc canceled, answered", internal("context canceled"), answered, Internal},
		{"grpc unknown method", merrors.New("go.micro.client", "unknown service Say.Nothing", 501), grpc, Application},
		{"grpc panic", merrors.InternalServerError("go.micro.server", "panic recovered: boom"), grpc, Internal},
		{"grpc over mucp", unavailable(grpcDial), mucp, Internal},

		{"grpc stream refused", internal("Error creating stream: rpc error: code = Unavailable desc = %s", grpcDial), grpc, Broken},
		{"grpc stream unavailable", internal("Error creating stream: rpc error: code = Unavailable desc = busy"), grpc, Application},
		{"grpc stream deadline", internal("Error creating stream: rpc error: code = DeadlineExceeded desc = late"), grpc, Timeout},
		{"grpc stream unknown method", internal("Error creating stream: rpc error: code = Unimplemented desc = no"), grpc, Application},
		{"grpc receive canceled", errors.New("rpc error: code = Canceled desc = stop"), grpc, Canceled},
		{"grpc receive failed", errors.New("rpc error: code = Unknown desc = boom"), grpc, Internal},

		{"context canceled", context.Canceled, mucp, Canceled},
		{"context deadline", context.DeadlineExceeded, grpc, Timeout},
		{"context deadline, unsent", context.DeadlineExceeded, unsent, NotSent},
		{"circuit open", errors.New("circuit open"), unsent, NotSent},
		{"unexpected eof", io.ErrUnexpectedEOF, mucp, Broken},
		{"reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, mucp, Broken},
		{"read timeout", &net.OpError{Op: "read", Err: &timeoutError{}}, mucp, Timeout},
		{"end of stream", io.EOF, mucp, Application},
		{"anything", errors.New("boom"), unknown, Application},
		{"dial text alone", errors.New("connection error: " + refusedDial), mucp, Application},
		{"typed nil", (*merrors.Error)(nil), mucp, Application},
		{"no text", errors.New(""), mucp, Application},

		{"refused", NewMarked(503, "", Mark{Kind: MarkRefused, Service: service}), grpc, Refused},
		{"refused, answered", NewMarked(503, "", Mark{Kind: MarkRefused, Service: service}), answered, Refused},
		{"refused by nobody", NewMarked(503, "", Mark{Kind: MarkRefused}), grpc, Application},
		{"refused by nobody, called nobody", NewMarked(503, "", Mark{Kind: MarkRefused}), Evidence{}, Application},
		{"refused by another", NewMarked(500, "", Mark{Kind: MarkRefused, Service: "bank"}), grpc, Internal},
		{"running", NewMarked(409, "", Mark{Kind: MarkRunning, Service: service}), grpc, Timeout},
		{"running elsewhere", NewMarked(408, "", Mark{Kind: MarkRunning, Service: "bank"}), grpc, Internal},
		{"outcome unknown", NewMarked(409, "", Mark{Kind: MarkUnknown, Service: service}), grpc, Application},
		{"relayed dial", NewMarked(503, grpcDial, Mark{Kind: MarkRelayed, Service: service}), grpc, Application},
		{"id without mark", &merrors.Error{Id: MarkID, Code: 500, Status: "refused-ish"}, grpc, Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Classify(tt.err, tt.ev); got != tt.want {
				t.Errorf("Classify(%v, %+v) = %v, want %v", tt.err, tt.ev, got, tt.want)
			}
			if tt.err == nil {
				return
			}
			wrapped := fmt.Errorf("calling hello: %w", tt.err)
			if tt.name == "grpc receive canceled" || tt.name == "grpc receive failed" {
				return // these are known by the whole of their text
			}
			for _, err := range []error{wrapped, errors.Join(errors.New("first"), wrapped)} {
				if got := Classify(err, tt.ev); got != tt.want {
					t.Errorf("wrapped in %T: %v, want %v", err, got, tt.want)
				}
			}
		})
	}
}

type timeoutError struct{}

func (*timeoutError) Error() string { return "i/o timeout" }
func (*timeoutError) Timeout() bool { return true }

// What came over the wire on mucp has a type of its own, so no text of it can
// pass for evidence.
func TestClassifyMucpPeer(t *testing.T) {
	tests := []struct {
		text string
		want Class
	}{
		{"no such student", Application},
		{"context deadline exceeded", Timeout},
		{"query: context deadline exceeded", Application},
		{"rpc: can't find method Nothing", Application},
		{internal("connection error: %s", refusedDial).Error(), Internal},
		{"connection error: " + refusedDial, Application},
		{unavailable("error reading from server: EOF").Error(), Internal},
		{unavailable("overloaded").Error(), Application},
		{transportError("unexpected EOF").Error(), Internal},
		{timedOut("call timeout: context canceled").Error(), Timeout},
		{internal("service %s: not found", service).Error(), Internal},
		{merrors.BadRequest("hello", "no").Error(), Application},
		{NewMarked(503, "full", Mark{Kind: MarkRefused, Service: service}).Error(), Refused},
		{NewMarked(503, "full", Mark{Kind: MarkRefused, Service: "bank"}).Error(), Application},
	}
	for _, tt := range tests {
		err := serverError(t, tt.text)
		for _, ev := range []Evidence{mucp, unknown, {Client: "mucp", Service: service, Unsent: true}} {
			if got := Classify(err, ev); got != tt.want {
				t.Errorf("%s, %+v: %v, want %v", tt.text, ev, got, tt.want)
			}
			if got := Classify(fmt.Errorf("hello: %w", err), ev); got != tt.want {
				t.Errorf("wrapped %s: %v, want %v", tt.text, got, tt.want)
			}
		}
	}
}

var serverErrorType struct {
	once sync.Once
	t    reflect.Type
}

// serverError returns text as the mucp client returns what a server wrote. The
// type is unexported, so a real call has to show it once.
func serverError(t *testing.T, text string) error {
	t.Helper()
	serverErrorType.once.Do(func() {
		c := call{kind: "mucp", address: serve(t, "mucp", &Say{err: errors.New("boom")}), endpoint: "Say.Fail"}
		serverErrorType.t = reflect.TypeOf(c.do(context.Background(), t).err)
	})
	v := reflect.New(serverErrorType.t).Elem()
	v.SetString(text)
	err, ok := reflect.TypeAssert[error](v)
	if !ok {
		t.Fatalf("%v is no error", serverErrorType.t)
	}
	return err
}

func TestClassString(t *testing.T) {
	for class, want := range map[Class]string{None: "none", NotSent: "not sent", Canceled: "canceled", 200: "Class(200)"} {
		if got := class.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

func TestAttemptFrom(t *testing.T) {
	ctx := context.Background()
	if _, ok := AttemptFrom(ctx); ok {
		t.Error("an empty context has an attempt")
	}
	if _, ok := AttemptFrom(WithAttempt(ctx, nil)); ok {
		t.Error("a nil attempt counts")
	}
	a := &Attempt{Class: Broken, Number: 2}
	if got, ok := AttemptFrom(WithAttempt(ctx, a)); !ok || got != a {
		t.Errorf("AttemptFrom = %v, %v", got, ok)
	}
}

// No text, wherever it comes from, makes a call that may have run look as if it
// had not, unless this side saw it.
func FuzzClassify(f *testing.F) {
	f.Add("connection error: "+refusedDial, int32(500), "go.micro.client", "", uint8(0))
	f.Add("error reading from server: EOF", int32(503), "go.micro.client", "Service Unavailable", uint8(1))
	f.Add("full", int32(503), MarkID, "refused; service="+service, uint8(3))
	f.Add("Error creating stream: rpc error: code = Unavailable desc = x", int32(500), "go.micro.client", "", uint8(2))
	f.Add(`{"id":"go.micro.client","code":500,"detail":"connection error: x"}`, int32(0), "", "", uint8(2))
	f.Fuzz(func(t *testing.T, detail string, code int32, id, status string, bits uint8) {
		ev := Evidence{Client: [...]string{"", "grpc", "http", "mucp"}[bits&3], Service: service, Answered: bits&4 != 0}
		typed := &merrors.Error{Id: id, Code: code, Detail: detail, Status: status}
		for _, err := range []error{typed, errors.New(detail), fmt.Errorf("x: %w", typed)} {
			class := Classify(err, ev)
			if class == None || class > Canceled {
				t.Fatalf("Classify(%v, %+v) = %v", err, ev, class)
			}
			if class == NotSent && (ev.Client != "mucp" || ev.Answered || !strings.HasPrefix(detail, "connection error: ")) {
				t.Fatalf("Classify(%v, %+v) = not sent without evidence", err, ev)
			}
			if m, _ := ParseMark(err); class == Refused && m.Service != ev.Service {
				t.Fatalf("Classify(%v, %+v) = refused by %q", err, ev, m.Service)
			}
		}
	})
}
