// Command instance is one instance of a service with a store: of this version, or,
// built against the sources of an earlier one, of that. It does what the lines of
// its standard input say, "verb key", and answers each with "verb key: what came of
// it":
//
//	call    executes a call that writes once
//	release executes one that fails, having done nothing
//	hold    executes one that waits, after its write, for "go key"
//
// Each execution is a line "ran key: by whom".
package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"google.golang.org/protobuf/types/known/wrapperspb"
	_ "modernc.org/sqlite"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// instance is who answers, and for whom.
type instance struct {
	name  string
	guard *idempotency.Guard
	write func(ctx context.Context, key string) error

	mu   sync.Mutex
	held map[string]chan struct{}
}

// run takes the instance's name, the kind of store, and where it is.
func run() error {
	name, kind, at := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	i := &instance{name: name, held: make(map[string]chan struct{})}
	store, err := i.open(ctx, kind, at)
	if err != nil {
		return err
	}
	i.guard, err = idempotency.New(store, idempotency.WithLease(5*time.Second))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return i.serve()
}

func (i *instance) open(ctx context.Context, kind, at string) (idempotency.Store, error) {
	if kind == "redis" {
		// It has no business writes: what has run is in the replies.
		i.write = func(context.Context, string) error { return nil }
		return redisstore.Open(ctx, at)
	}
	driver, mode, _ := strings.Cut(kind, "/")
	db, err := sql.Open(driver, at)
	if err != nil {
		return nil, err
	}
	i.write = func(ctx context.Context, key string) error {
		var q sqlstore.Querier = db
		if tx, ok := sqlstore.Tx(ctx); ok {
			q = tx
		}
		_, err := q.ExecContext(ctx, "INSERT INTO business (name) VALUES ('"+key+"')")
		return err
	}
	options := []sqlstore.Option{sqlstore.WithMigrate()}
	if mode == "detached" {
		options = append(options, sqlstore.WithDetached())
	}
	return sqlstore.New(ctx, db, options...)
}

// serve ends with its input.
func (i *instance) serve() error {
	var group sync.WaitGroup
	defer group.Wait()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		verb, key, _ := strings.Cut(lines.Text(), " ")
		if verb == "go" {
			close(i.hold(key))
			continue
		}
		group.Go(func() { fmt.Printf("%s %s: %s\n", verb, key, i.do(verb, key)) })
	}
	return lines.Err()
}

// hold returns the channel that is closed when a held call may go on.
func (i *instance) hold(key string) chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.held[key] == nil {
		i.held[key] = make(chan struct{})
	}
	return i.held[key]
}

// do executes a call, and says by whom it was answered, or why not.
func (i *instance) do(verb, key string) string {
	reply := &wrapperspb.StringValue{}
	_, err := i.guard.Do(context.Background(), idempotency.Call{
		Service: "upgrade", Endpoint: "Wallet.Tip", Key: idempotency.Key{Value: key}, Body: wrapperspb.String(key), Reply: reply,
	}, func(ctx context.Context) error {
		reply.Value = "by " + i.name
		fmt.Printf("ran %s: %s\n", key, reply.GetValue())
		if verb == "release" {
			return idempotency.NotDone(errors.New("nothing done"))
		}
		if err := i.write(ctx, key); err != nil || verb == "call" {
			return err
		}
		fmt.Printf("holding %s: %s\n", key, reply.GetValue())
		select {
		case <-i.hold(key):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return err.Error()
	}
	return reply.GetValue()
}
