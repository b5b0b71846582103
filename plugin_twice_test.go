package oncemore_test

import (
	"errors"
	"testing"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestInstalledTwice: the service does not start, and every call says why.
func TestInstalledTwice(t *testing.T) {
	pass := micro.WrapClient(func(c client.Client) client.Client { return &tracing{Client: c, name: "pass", order: new([]string)} })
	for name, install := range map[string]func(s micro.Service, p, another *oncemore.Plugin){
		"the same": func(s micro.Service, p, _ *oncemore.Plugin) { s.Init(p.Options()...); s.Init(p.Options()...) },
		"another": func(s micro.Service, p, another *oncemore.Plugin) {
			s.Init(append(p.Options(), another.Options()...)...)
		},
		"a wrapper in between": func(s micro.Service, p, _ *oncemore.Plugin) {
			s.Init(p.Options()...)
			s.Init(pass)
			s.Init(p.Options()...)
		},
		"its wrapper beside it": func(s micro.Service, p, another *oncemore.Plugin) {
			s.Init(micro.WrapClient(another.ClientWrapper()))
			s.Init(p.Options()...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, []string{fixture.RefusedAddress(t)})
			install(s, newPlugin(t), newPlugin(t))
			if _, err := fixture.Call(t.Context(), s.Client(), fixture.Echo, ""); !errors.Is(err, wrapper.ErrWrappedTwice) {
				t.Errorf("a call: got %v, want %v", err, wrapper.ErrWrappedTwice)
			}
			if err := s.Run(); !errors.Is(err, wrapper.ErrWrappedTwice) {
				t.Errorf("the start: got %v, want %v", err, wrapper.ErrWrappedTwice)
			}
		})
	}
}
