package docs

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/codec"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestStateMachineAnswers provokes each answer that the document lists, and
// compares the code and the mark that a caller gets.
func TestStateMachineAnswers(t *testing.T) {
	listed := make(map[string]bool)
	for _, row := range table(t, "state_machine.md", "When") {
		name := strings.Trim(row[0], "`")
		listed[name] = true
		t.Run(name, func(t *testing.T) {
			provoke, ok := provocations[name]
			if !ok || len(row) != 4 {
				t.Fatalf("nothing provokes it, or %d columns", len(row))
			}
			code, mark := answerTo(t, provoke)
			if got := strconv.Itoa(int(code)); got != row[1] || mark != strings.Trim(row[2], "`") {
				t.Errorf("code %s, mark %q; the document says %s, %q", got, mark, row[1], row[2])
			}
		})
	}
	source, err := os.ReadFile("../idempotency/error.go")
	if err != nil {
		t.Fatal(err)
	}
	reasons := regexp.MustCompile(`(?m)^\t(Err\w+) +error += &reasonError`).FindAllStringSubmatch(string(source), -1)
	if len(reasons) < 10 {
		t.Fatalf("found %d reasons in the source", len(reasons))
	}
	for _, reason := range reasons {
		if name := reason[1]; !listed[name] && name != "ErrExecutionTimeout" && name != "ErrNotExecuted" { // which answer no call
			t.Errorf("%s is not listed", name)
		}
	}
}

// request is what a call needs to be answered as wanted.
type request struct {
	store    answers
	settings []idempotency.Option
	mode     wrapper.KeyMode
	ctx      func(context.Context) context.Context
	header   metadata.Metadata
	body     any
	reply    any
	drained  bool
}

var errCut = errors.New("connection cut")

// provocations make each answer happen.
var provocations = map[string]request{
	"ErrInvalidKey": {header: metadata.Metadata{idempotency.HeaderKey: "a b"}},
	"ErrForeignKey": {header: metadata.Metadata{idempotency.HeaderFor: "shop/Order.Place"}, mode: wrapper.KeyRequired},
	"ErrExpired": {header: metadata.Metadata{
		idempotency.HeaderIssued: idempotency.FormatIssued(time.Now().Add(-48 * time.Hour)),
	}},
	"ErrMismatch": {store: answers{out: idempotency.Outcome{State: idempotency.Done, Fingerprint: idempotency.Fingerprint{1, 2}}}},
	"ErrNoReply": {store: answers{out: idempotency.Outcome{
		State: idempotency.Done, Record: idempotency.Record{Content: idempotency.ContentDropped}.Encode(),
	}}},
	"ErrCorrupt": {store: answers{out: idempotency.Outcome{State: idempotency.Done, Record: []byte("?")}}},
	"ErrRunning": {
		store:    answers{out: idempotency.Outcome{State: idempotency.Running}},
		settings: []idempotency.Option{idempotency.WithMaxWait(0)},
	},
	"ErrWaitTimeout": {
		store:    answers{out: idempotency.Outcome{State: idempotency.Running}},
		settings: []idempotency.Option{idempotency.WithMaxWait(time.Millisecond)},
	},
	"ErrOutcomeUnknown": {store: answers{out: idempotency.Outcome{State: idempotency.Orphaned}}},
	"ErrSuperseded":     {store: answers{out: idempotency.Outcome{State: idempotency.Superseded, Attempt: math.MaxInt32}}},
	"ErrLeaseLost":      {store: answers{out: idempotency.Outcome{State: idempotency.Acquired}, complete: idempotency.ErrLost}},
	"ErrRolledBack": {store: answers{
		out:      idempotency.Outcome{State: idempotency.Acquired, Transactional: true},
		complete: idempotency.Repeatable(errCut),
	}},
	"ErrNotCommitted": {store: answers{
		out:      idempotency.Outcome{State: idempotency.Acquired, Transactional: true},
		complete: idempotency.NotApplied(errCut),
	}},
	"ErrCommitUnknown": {store: answers{
		out: idempotency.Outcome{State: idempotency.Acquired, Transactional: true}, complete: errCut, once: true,
	}},
	"ErrUnavailable": {store: answers{err: idempotency.NotApplied(errCut)}},
	"ErrDraining":    {drained: true},
	"ErrCanceled": {ctx: func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx
	}},
}

// answerTo makes the call and returns its answer's code, and its mark without
// the service.
func answerTo(t *testing.T, r request) (code int32, mark string) {
	t.Helper()
	guard, err := idempotency.New(&r.store, idempotency.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if guard, err = guard.With(r.settings...); err != nil {
		t.Fatal(err)
	}
	wrap, err := wrapper.NewHandlerWrapper("bank", guard, wrapper.WithKeyMode(r.mode))
	if err != nil {
		t.Fatal(err)
	}
	if r.drained {
		if err := guard.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	header := metadata.Metadata{idempotency.HeaderKey: "k", idempotency.HeaderSent: idempotency.FormatIssued(time.UnixMicro(1))}
	maps.Copy(header, r.header)
	ctx := metadata.NewContext(t.Context(), header)
	if r.ctx != nil {
		ctx = r.ctx(ctx)
	}
	if r.body == nil {
		r.body = wrapperspb.String("10 cents")
	}
	if r.reply == nil {
		r.reply = &wrapperspb.StringValue{}
	}
	handler := wrap(func(context.Context, server.Request, any) error { return nil })
	err = handler(ctx, incoming{body: r.body}, r.reply)
	answer := merrors.FromError(err)
	if err == nil || answer.Id != retryfunc.MarkID {
		t.Fatalf("answer %v, want one in the handler's place", err)
	}
	if _, ok := retryfunc.ParseMark(err); !ok {
		return answer.Code, "–"
	}
	return answer.Code, released.ReplaceAllString(strings.Replace(answer.Status, "; service=bank", "", 1), "released=…")
}

// released is when an attempt was sent that a document need not name.
var released = regexp.MustCompile(`released=\S+`)

// answers is a store that gives one answer.
type answers struct {
	out      idempotency.Outcome
	err      error
	complete error
	once     bool // the second Begin fails
	begun    bool
}

func (a *answers) ID(context.Context) (string, error) { return "", nil }

func (a *answers) Begin(context.Context, idempotency.Claim) (idempotency.Outcome, error) {
	if a.once && a.begun {
		return idempotency.Outcome{}, errCut
	}
	a.begun = true
	out := a.out
	if out.State == idempotency.Acquired {
		out.Execution = execution{a.complete}
	}
	return out, a.err
}

type execution struct{ complete error }

func (execution) Context(ctx context.Context) context.Context { return ctx }
func (execution) Renew(context.Context) error                 { return nil }
func (e execution) Complete(context.Context, []byte) error    { return e.complete }
func (execution) Release(context.Context) error               { return nil }

// incoming is a request as a server gives it to a handler.
type incoming struct{ body any }

func (incoming) Service() string           { return "bank" }
func (incoming) Method() string            { return "Wallet.Tip" }
func (incoming) Endpoint() string          { return "Wallet.Tip" }
func (incoming) ContentType() string       { return "application/protobuf" }
func (incoming) Header() map[string]string { return nil }
func (r incoming) Body() any               { return r.body }
func (incoming) Read() ([]byte, error)     { return nil, nil }
func (incoming) Codec() codec.Reader       { return nil }
func (incoming) Stream() bool              { return false }
