package selectorx

import (
	"fmt"
	"testing"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/internal/fixture"
)

// flatOf is a Flat that knows n nodes of "hello", n0 to n….
func flatOf(tb testing.TB, n int) *Flat {
	tb.Helper()
	f, err := NewFlat(WithRegistry(fixture.NewRegistry(map[string][]string{"hello": numbered(n)})))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	if _, err := f.Select("hello"); err != nil {
		tb.Fatal(err)
	}
	return f
}

// selecting returns what selects a node once, as a client with a Call does.
func selecting(tb testing.TB, s selector.Selector, b *Balancer, strategy selector.Strategy) func() error {
	tb.Helper()
	call := new(Call)
	var opts []selector.SelectOption
	if strategy != nil {
		opts = append(opts, selector.WithStrategy(strategy))
	}
	return func() error {
		call.Init(b, true)
		next, err := s.Select("hello", append(opts, call.SelectOption())...)
		if err != nil {
			return err
		}
		node, err := next()
		if err != nil {
			return err
		}
		load := call.Begin(node.Address)
		load.End(OutcomeAnswered, 1)
		return nil
	}
}

func flatCases(tb testing.TB) map[string]func(n int) func() error {
	tb.Helper()
	closed, open := balancer(tb, WithEjector(frozen{})), balancer(tb, WithEjector(frozen{open: map[string]bool{"n1": false}}))
	cases := map[string]func(n int) func() error{
		"bare": func(n int) func() error {
			f := flatOf(tb, n)
			return func() error {
				next, err := f.Select("hello")
				if err == nil {
					_, err = next()
				}
				return err
			}
		},
	}
	for name, b := range map[string]*Balancer{"closed": closed, "one open": open} {
		for strategyName, strategy := range map[string]selector.Strategy{
			"balance": nil, "random": selector.Random, "round robin": NewRoundRobin(),
		} {
			cases[fmt.Sprintf("%s, %s", strategyName, name)] = func(n int) func() error {
				return selecting(tb, flatOf(tb, n), b, strategy)
			}
		}
	}
	return cases
}

// BenchmarkFlat shows that Select and Next cost the same at 3 and at 3,000 nodes; the
// stock selector is the control.
func BenchmarkFlat(b *testing.B) {
	for name, prepare := range flatCases(b) {
		for _, n := range []int{3, 3000} {
			b.Run(fmt.Sprintf("%s/%d nodes", name, n), func(b *testing.B) {
				run := prepare(n)
				b.ReportAllocs()
				for b.Loop() {
					if err := run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	for _, n := range []int{3, 3000} {
		b.Run(fmt.Sprintf("stock/%d nodes", n), func(b *testing.B) {
			stock, end, err := fixture.NewSelector(registry.Registry(fixture.NewRegistry(map[string][]string{"hello": numbered(n)})))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = end() })
			run := selecting(b, stock, balancer(b, WithEjector(frozen{open: map[string]bool{"n1": false}})), nil)
			b.ReportAllocs()
			for b.Loop() {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
