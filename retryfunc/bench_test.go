package retryfunc

import (
	"context"
	"errors"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

func BenchmarkClassify(b *testing.B) {
	for _, bench := range []struct {
		name string
		err  error
		ev   Evidence
	}{
		{"success", nil, mucp},
		{"mucp refused", internal("connection error: %s", refusedDial), mucp},
		{"mucp broken", transportError("unexpected EOF"), mucp},
		{"grpc broken", unavailable("error reading from server: EOF"), grpc},
		{"timeout", timedOut("<nil>"), mucp},
		{"marked", NewMarked(503, "full", Mark{Kind: MarkRefused, Service: service, RetryAfter: time.Second}), grpc},
		{"text", errors.New(timedOut("<nil>").Error()), mucp},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Classify(bench.err, bench.ev)
			}
		})
	}
}

func BenchmarkCareful(b *testing.B) {
	err := transportError("unexpected EOF")
	b.Run("attempt known", func(b *testing.B) {
		ctx := given(Attempt{Class: Broken, Safety: SafetySafe})
		b.ReportAllocs()
		for b.Loop() {
			_, _ = Careful(ctx, request{}, 0, err)
		}
	})
	b.Run("plain client", func(b *testing.B) {
		req := client.NewRequest(service, "Say.Hello", nil)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = Careful(context.Background(), req, 0, err)
		}
	})
}

func BenchmarkBudget(b *testing.B) {
	budget := newBudget(b)
	b.Run("deposit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			budget.Deposit()
		}
	})
	b.Run("deposit parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				budget.Deposit()
			}
		})
	})
	b.Run("withdraw", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			budget.Withdraw()
		}
	})
}

func BenchmarkRule(b *testing.B) {
	list, err := Endpoints(map[string]Safety{"Say.Hello": SafetySafe, "bank/Say.Hello": SafetyUnsafe})
	if err != nil {
		b.Fatal(err)
	}
	files := new(protoregistry.Files)
	ask := dynamicpb.NewMessage(declare(b, files, helloProto).Messages().ByName("Ask"))
	for name, rule := range map[string]Rule{"endpoints": list, "http": HTTPRule(), "proto": newProtoRule(files).safety} {
		b.Run(name, func(b *testing.B) {
			var req client.Request = &request{service: service, endpoint: "Say.Hello", body: ask}
			b.ReportAllocs()
			for b.Loop() {
				rule(context.Background(), req)
			}
		})
	}
}

func BenchmarkBackoff(b *testing.B) {
	backoff, err := NewBackoff()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		backoff.Delay(3)
	}
}
