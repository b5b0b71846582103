package oncemore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"

	"go-micro.dev/v4"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/fixture/hello"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// A service whose calls move on to another instance when one dies.
func Example_client() {
	callers := func(ctx context.Context) error {
		plugin, err := oncemore.New()
		if err != nil {
			return err
		}
		service := micro.NewService(micro.Name("user-api"))
		service.Init()
		service.Init(plugin.Options()...)

		say := hello.NewSayService("hello-srv", service.Client())
		reply, err := say.Hello(ctx, &hello.HelloRequest{Name: "xuxu"})
		if err != nil {
			return err
		}
		fmt.Println(reply.GetMessage())
		return nil
	}
	_ = callers
}

// A service that executes a repeated call once, in the database where it does
// its work.
func Example_server() {
	serve := func(ctx context.Context, db *sql.DB, wallet hello.WalletHandler) error {
		store, err := sqlstore.New(ctx, db, sqlstore.WithMigrate())
		if err != nil {
			return err
		}
		plugin, err := oncemore.New(oncemore.WithStore(store))
		if err != nil {
			return err
		}
		service := micro.NewService(micro.Name("hello-srv"))
		service.Init()
		service.Init(plugin.Options()...)
		if err := hello.RegisterWalletHandler(service.Server(), wallet); err != nil {
			return err
		}
		return service.Run()
	}
	_ = serve
}

// Wallet pays once per key: the row and the record of the answer commit
// together, or not at all.
type Wallet struct{}

func (Wallet) Tip(ctx context.Context, req *hello.TipRequest, rsp *hello.TipReply) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errors.New("this call carries no key")
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO ledger (student, amount_cents) VALUES ($1, $2)",
		req.GetStudent(), req.GetAmountCents())
	return err
}

// Provider is somebody else's API, which takes an idempotency key of its own.
type Provider interface {
	Charge(ctx context.Context, key, student string, cents int64) error
}

// charge asks the provider under a key derived from the execution, so that it is
// the same however often the handler runs.
func charge(ctx context.Context, provider Provider, req *hello.TipRequest) error {
	key, done, err := idempotency.CallKey(idempotency.WithStep(ctx, "charge"), "provider", "charges", nil, nil)
	if err != nil {
		return err
	}
	err = provider.Charge(ctx, key.Value, req.GetStudent(), req.GetAmountCents())
	done(err != nil)
	return err
}

// errDeclined is the provider's no.
var errDeclined = errors.New("declined")

// Till pays through a provider.
type Till struct{ provider Provider }

func (t Till) Tip(ctx context.Context, req *hello.TipRequest, _ *hello.TipReply) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errors.New("this call carries no key")
	}
	provider := t.provider
	err := charge(ctx, provider, req)
	if errors.Is(err, errDeclined) { // its row is to stay, and the same form to get the same answer
		if _, err := tx.ExecContext(ctx, "INSERT INTO declined (student) VALUES ($1)", req.GetStudent()); err != nil {
			return err
		}
		return idempotency.FinalKeepWrites(merrors.New("till", "declined by the provider", http.StatusPaymentRequired))
	}
	return err
}

// A provider whose charge is made again, by a second run of the same execution,
// sees the same key.
func Example_money() {
	parent := idempotency.Key{Value: "order-7", For: "shop/Order.Pay"}
	provider := make(onceProvider)
	for range 2 {
		ctx := idempotency.WithExecution(context.Background(), parent, "ann")
		if err := charge(ctx, provider, &hello.TipRequest{Student: "xuxu", AmountCents: 500}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// charged xuxu 500 under d1-
}

// onceProvider remembers the keys it has seen.
type onceProvider map[string]bool

func (p onceProvider) Charge(_ context.Context, key, student string, cents int64) error {
	if p[key] {
		return nil
	}
	p[key] = true
	fmt.Println("charged", student, cents, "under", key[:3])
	return nil
}

// The caller's own key makes a repetition of the same intention harmless, also
// after the caller itself has died.
func Example_key() {
	tip := func(ctx context.Context, wallet hello.WalletService, form string) error {
		ctx = idempotency.WithKey(ctx, form)
		var report wrapper.Report
		_, err := wallet.Tip(ctx, &hello.TipRequest{Student: "xuxu", AmountCents: 500}, wrapper.WithStory(&report))

		log.Print(report.Story()) // every attempt: where, how it ended, why the next was or was not made
		if report.Ambiguous() {
			return fmt.Errorf("outcome unknown, repeat it with key %s only: %w", report.Key, err)
		}
		return err
	}
	_ = tip
}

// Everything that happens can be seen, and the policy chosen.
func ExampleNew() {
	idempotent, err := retryfunc.Endpoints(map[string]retryfunc.Safety{"Users.SetEmail": retryfunc.SafetyIdempotent})
	if err != nil {
		fmt.Println(err)
		return
	}
	see := wrapper.ObserverFunc(func(_ context.Context, e wrapper.Event) {
		if end, ok := e.(*wrapper.CallEnded); ok && end.Ambiguous() {
			log.Printf("%s %s may have run, repeat it with key %s: %s", end.Service, end.Endpoint, end.Key, end.Story())
		}
	})
	_, err = oncemore.New(
		oncemore.WithClient(wrapper.WithAttempts(4), wrapper.WithSafety(idempotent)),
		oncemore.WithObserver(see),
	)
	fmt.Println(err)

	_, err = oncemore.New(oncemore.WithClient(wrapper.WithAttempts(0)))
	fmt.Println(err)
	// Output:
	// <nil>
	// oncemore: WithClient: wrapper: WithAttempts(0): must be 1 to 100, the first try included
}

// Calls that may come in another order the next time are told apart by their steps.
func Example_steps() {
	tip := func(ctx context.Context, wallet hello.WalletService, order []*hello.TipRequest) error {
		for _, line := range order {
			ctx := idempotency.WithStep(ctx, line.Student)
			if _, err := wallet.Tip(ctx, line); err != nil {
				return err
			}
		}
		return nil
	}
	_ = tip
}

// A subscription opts in by name; all others handle every message.
func Example_subscriber() {
	enter := func(context.Context, *hello.TipRequest) error { return nil }
	subscribe := func(plugin *oncemore.Plugin, service micro.Service) error {
		audit := oncemore.Subscriber(plugin, "audit", func(ctx context.Context, tip *hello.TipRequest) error {
			return enter(ctx, tip)
		})
		return micro.RegisterSubscriber("tips", service.Server(), audit)
	}
	_ = subscribe
}
