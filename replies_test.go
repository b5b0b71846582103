package oncemore_test

import (
	"context"
	"net/url"
	"reflect"
	"testing"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
)

// Question is what is asked of Odd.
type Question struct{ Text string }

// Odd answers in types of all kinds, with what is set here.
type Odd struct{ runs map[string]int }

// OldReply is a message of protobuf's old API.
type OldReply struct {
	Name string `json:"name,omitempty" protobuf:"bytes,1,opt,name=name,proto3"`

	XXX_NoUnkeyedLiteral struct{} `json:"-"` //nolint:revive // as generated
	XXX_unrecognized     []byte   `json:"-"` //nolint:revive // as generated
	XXX_sizecache        int32    `json:"-"` //nolint:revive // as generated
}

func (m *OldReply) Reset()         { *m = OldReply{} }
func (m *OldReply) String() string { return m.Name }
func (*OldReply) ProtoMessage()    {}

// Private is a reply of which a part stays with the server.
type Private struct {
	Name   string
	Secret string `json:"-"`
	secret string
}

// Old answers a message of protobuf's old API.
func (o *Odd) Old(_ context.Context, q *Question, rsp *OldReply) error {
	o.runs["Odd.Old"]++
	rsp.Name = q.Text
	return nil
}

// Map answers a map.
func (o *Odd) Map(_ context.Context, q *Question, rsp *map[string]any) error {
	o.runs["Odd.Map"]++
	*rsp = map[string]any{"text": q.Text, "half": 0.5, "list": []any{"a", true}}
	return nil
}

// Numbers answers a map whose numbers JSON makes others of.
func (o *Odd) Numbers(_ context.Context, _ *Question, rsp *map[string]any) error {
	o.runs["Odd.Numbers"]++
	*rsp = map[string]any{"cents": int64(500)}
	return nil
}

// Any answers whatever it likes.
func (o *Odd) Any(_ context.Context, q *Question, rsp *any) error {
	o.runs["Odd.Any"]++
	*rsp = q.Text
	return nil
}

// Private keeps a part to itself.
func (o *Odd) Private(_ context.Context, q *Question, rsp *Private) error {
	o.runs["Odd.Private"]++
	*rsp = Private{q.Text, "s", "s"}
	return nil
}

// Public has nothing to hide.
func (o *Odd) Public(_ context.Context, q *Question, rsp *Private) error {
	o.runs["Odd.Public"]++
	*rsp = Private{Name: q.Text}
	return nil
}

// URL answers a URL.
func (o *Odd) URL(_ context.Context, q *Question, rsp *url.URL) error {
	o.runs["Odd.URL"]++
	*rsp = url.URL{Scheme: "https", Host: "example.org", Path: "/" + q.Text}
	return nil
}

// Login answers a URL with a password in it.
func (o *Odd) Login(_ context.Context, _ *Question, rsp *url.URL) error {
	o.runs["Odd.Login"]++
	*rsp = url.URL{Scheme: "https", User: url.UserPassword("ann", "sesame")}
	return nil
}

// TestRepliesOfEveryKind: the handler runs, as it does without the plugin, and its
// duplicates are told the same, or that it has run.
func TestRepliesOfEveryKind(t *testing.T) {
	for endpoint, tt := range map[string]struct {
		fresh func() any
		kept  bool
	}{
		"Odd.Old":     {func() any { return new(OldReply) }, true},
		"Odd.Map":     {func() any { return new(map[string]any) }, true},
		"Odd.Numbers": {func() any { return new(map[string]any) }, false},
		"Odd.Any":     {func() any { return new(any) }, true},
		"Odd.Private": {func() any { return new(Private) }, false},
		"Odd.Public":  {func() any { return new(Private) }, true},
		"Odd.URL":     {func() any { return new(url.URL) }, true},
		"Odd.Login":   {func() any { return new(url.URL) }, false},
	} {
		t.Run(endpoint, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				odd := &Odd{make(map[string]int)}
				at.run("bare", nil, func(s micro.Service) { must(t, micro.RegisterHandler(s.Server(), &Odd{make(map[string]int)})) })
				at.run("odd", at.plugin(memory(t)), func(s micro.Service) { must(t, micro.RegisterHandler(s.Server(), odd)) })
				c := at.stockWith("k", "")
				ask := func(service string) (any, error) {
					rsp := tt.fresh()
					req := c.NewRequest(service, endpoint, &Question{"hello"}, client.WithContentType("application/json"))
					return rsp, c.Call(t.Context(), req, rsp)
				}
				bare, err := ask("bare")
				must(t, err)
				first, err := ask("odd")
				must(t, err)
				if !reflect.DeepEqual(first, bare) {
					t.Errorf("answered %+v, without the plugin %+v", first, bare)
				}
				second, err := ask("odd")
				switch {
				case tt.kept && (err != nil || !reflect.DeepEqual(second, bare)):
					t.Errorf("a duplicate was answered %+v, %v; the first %+v", second, err, bare)
				case !tt.kept && merrors.Parse(errorText(err)).Code != 410:
					t.Errorf("a duplicate was answered %+v, %v; want 410", second, err)
				}
				if n := odd.runs[endpoint]; n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
			})
		})
	}
}

// Strange takes a request that JSON can read and not write.
type Strange struct{ runs int }

// Ask is a request that cannot be told from another.
type Ask struct {
	Text string
	Done func()
}

// Answer answers.
func (s *Strange) Answer(_ context.Context, q *Ask, rsp *Question) error {
	s.runs++
	rsp.Text = q.Text
	return nil
}

// TestRequestsOfEveryKind: a request of which there is no fingerprint is executed, and
// known by its key. go-micro's grpc server takes none such.
func TestRequestsOfEveryKind(t *testing.T) {
	at, strange := newTown(t, fixture.MUCP), new(Strange)
	at.run("strange", at.plugin(memory(t)), func(s micro.Service) { must(t, micro.RegisterHandler(s.Server(), strange)) })
	c := at.stockWith("k", "")
	for range 2 {
		var rsp Question
		req := c.NewRequest("strange", "Strange.Answer", &Question{"hello"}, client.WithContentType("application/json"))
		if err := c.Call(t.Context(), req, &rsp); err != nil || rsp.Text != "hello" {
			t.Errorf("answered %+v, %v", rsp, err)
		}
	}
	if strange.runs != 1 {
		t.Errorf("%d executions of two calls under one key", strange.runs)
	}
}

// TestOldKeyIsStillRefused: what holds for messages does not hold for calls.
func TestOldKeyIsStillRefused(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		bank, c := at.openBank(), at.wrapped()
		ctx := idempotency.WithIssued(idempotency.WithKey(t.Context(), "k"), time.Now().Add(-72*time.Hour))
		if err := pay(ctx, c, "one"); merrors.Parse(errorText(err)).Code != 412 {
			t.Errorf("error %v, want 412", err)
		}
		bank.want(t, "under an old key")
	})
}
