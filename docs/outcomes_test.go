package docs

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// ends are the ends of a handler that each row of its table speaks of, by how
// the row begins.
var ends = map[string][]func(ctx context.Context) error{
	"success": {func(context.Context) error { return nil }},
	"a final error": {
		answering(merrors.New("bank", "not enough", 402)), answering(merrors.New("bank", "conflict", 409)),
		answering(idempotency.Final(merrors.New("bank", "closed", 503))), answering(idempotency.Final(errors.New("no"))),
	},
	"an error marked `idempotency.FinalKeepWrites`": {
		answering(idempotency.FinalKeepWrites(merrors.New("bank", "declined", 402))),
		answering(idempotency.FinalKeepWrites(errors.New("declined"))),
	},
	"an error that settles nothing": {
		answering(merrors.New("bank", "timed out", 408)), answering(merrors.New("bank", "too early", 425)),
		answering(merrors.New("bank", "slow down", 429)), answering(merrors.New("bank", "closed", 503)),
		answering(context.DeadlineExceeded), answering(context.Canceled),
		answering(retryfunc.NewMarked(409, "", retryfunc.Mark{Kind: retryfunc.MarkRefused, Service: "other"})),
		answering(retryfunc.NewMarked(409, "", retryfunc.Mark{Kind: retryfunc.MarkRunning, Service: "other"})),
		answering(retryfunc.NewMarked(409, "", retryfunc.Mark{Kind: retryfunc.MarkUnknown, Service: "other"})),
		answering(merrors.InternalServerError("go.micro.client", "service other: not found")),
		answering(io.ErrUnexpectedEOF),
		answering(idempotency.NotDone(merrors.New("bank", "busy", 402))),
	},
	"a failure": {
		answering(merrors.InternalServerError("bank", "disk full")), answering(merrors.New("bank", "bad gateway", 502)),
		answering(errors.New("disk full")),
		func(context.Context) error { panic("nil map") },
		func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		func(ctx context.Context) error { <-ctx.Done(); return merrors.New("bank", "timed out", 408) },
	},
}

func answering(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// TestOutcomes provokes each end that once.md lists, on both kinds of store,
// and compares what the store is told.
func TestOutcomes(t *testing.T) {
	rows := table(t, "once.md", "because")
	if len(rows) != len(ends) {
		t.Errorf("%d rows, and %d kinds of ends", len(rows), len(ends))
	}
	for _, row := range rows {
		name, _, _ := strings.Cut(row[0], ":")
		list, ok := ends[name]
		if !ok || len(row) != 4 {
			t.Errorf("nothing provokes %q, or it has %d columns", row[0], len(row))
		}
		for i, end := range list {
			for column, transactional := range []bool{true, false} {
				told := tellOf(t, transactional, end)
				if want := readOutcome(t, row[column+1], transactional, name); told != want {
					t.Errorf("%q, end %d, transactional %v: the store was told %q; the document says %q",
						name, i, transactional, told, row[column+1])
				}
			}
		}
	}
}

// readOutcome gives the words of the table as what a store is told.
func readOutcome(t *testing.T, cell string, transactional bool, row string) string {
	t.Helper()
	undo := ""
	if transactional && strings.HasPrefix(row, "a final error") {
		undo = "undo, "
	}
	switch cell {
	case "recorded":
		return "complete"
	case "recorded, writes undone":
		return undo + "complete"
	case "recorded, writes stay":
		return "complete"
	case "released", "rolled back, released":
		return "release"
	}
	t.Errorf("unknown words: %q", cell)
	return ""
}

// tellOf runs a handler under a key, and returns what the store is told of its end.
func tellOf(t *testing.T, transactional bool, end func(context.Context) error) (told string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := &telling{transactional: transactional}
		guard, err := idempotency.New(store, idempotency.WithLogger(nil))
		if err != nil {
			t.Fatal(err)
		}
		wrap, err := wrapper.NewHandlerWrapper("bank", guard)
		if err != nil {
			t.Fatal(err)
		}
		handle := wrap(func(ctx context.Context, _ server.Request, _ any) error { return end(ctx) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		ctx = metadata.NewContext(ctx, metadata.Metadata{idempotency.HeaderKey: "k"})
		_ = handle(ctx, incoming{body: wrapperspb.String("10 cents")}, &wrapperspb.StringValue{}) // told in another test
		told = strings.Join(store.list, ", ")
	})
	return told
}

// telling is a store that remembers what it was told of an execution's end.
type telling struct {
	transactional bool
	list          []string
}

func (s *telling) ID(context.Context) (string, error) { return "", nil }

func (s *telling) Begin(context.Context, idempotency.Claim) (idempotency.Outcome, error) {
	return idempotency.Outcome{
		State: idempotency.Acquired, Execution: told{s}, Fence: 1, Transactional: s.transactional,
	}, nil
}

type told struct{ *telling }

func (told) Context(ctx context.Context) context.Context { return ctx }
func (told) Renew(context.Context) error                 { return nil }

func (s told) say(what string) error {
	s.list = append(s.list, what)
	return nil
}

func (s told) Complete(context.Context, []byte) error { return s.say("complete") }
func (s told) Release(context.Context) error          { return s.say("release") }
func (s told) Undo(context.Context) error             { return s.say("undo") }
