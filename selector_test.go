package oncemore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/util/cmd"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/selectorx"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// flatOf is the flat selector of a service's client, or nil if it has another.
func flatOf(s micro.Service) *selectorx.Flat {
	flat, _ := s.Client().Options().Selector.(*selectorx.Flat)
	return flat
}

func TestInstallsTheFlatSelector(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			node := fixture.Start(t, fixture.Config{Transport: transport})
			s := newService(t, nil)
			s.Init(micro.Client(fixture.NewClient(t, transport, []string{node.Address()})))
			p := newPlugin(t, wrapper.WithTrustedKeys())
			s.Init(p.Options()...)
			flat := flatOf(s)
			if flat == nil {
				t.Fatalf("the client's selector is %T", s.Client().Options().Selector)
			}
			for range 10 {
				if _, err := fixture.Call(t.Context(), s.Client(), fixture.Echo, ""); err != nil {
					t.Fatal(err)
				}
			}
			if status := flat.Status(); len(status) != 1 || status[0].Nodes != 1 || status[0].InFlight != 0 {
				t.Errorf("status %+v", status)
			}
			if err := start(t, s); err != nil {
				t.Errorf("the service did not start: %v", err)
			}
			if got := p.Selectors(); len(got) != 1 || got[0] != flat {
				t.Errorf("the plugin has given %v", got)
			}
			for _, stop := range s.Options().AfterStop {
				if err := stop(); err != nil {
					t.Error(err)
				}
			}
			if status := flat.Status(); len(status) != 0 {
				t.Errorf("after the service has stopped: status %+v", status)
			}
			if _, err := fixture.Call(t.Context(), s.Client(), fixture.Echo, ""); err != nil {
				t.Errorf("a call after the service has stopped: %v", err)
			}
		})
	}
}

// TestSelectorReplaced: whatever replaces the selector afterwards, the service says so
// and does not start.
func TestSelectorReplaced(t *testing.T) {
	for name, replace := range map[string]func(micro.Service){
		"micro.Selector": func(s micro.Service) { s.Init(micro.Selector(selector.NewSelector())) },
		"client.Init": func(s micro.Service) {
			if err := s.Client().Init(client.Selector(selector.NewSelector())); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, nil)
			s.Init(newPlugin(t).Options()...)
			replace(s)
			if err := start(t, s); !errors.Is(err, oncemore.ErrSelectorReplaced) {
				t.Errorf("got %v, want %v", err, oncemore.ErrSelectorReplaced)
			}
		})
	}
}

// TestRegistryFlag: --registry replaces the selector, in the same Init, too.
func TestRegistryFlag(t *testing.T) {
	elsewhere := fixture.NewRegistry(nil)
	cmd.DefaultRegistries["elsewhere"] = func(...registry.Option) registry.Registry { return elsewhere }
	t.Cleanup(func() { delete(cmd.DefaultRegistries, "elsewhere") })
	before := newService(t, nil, "--registry=elsewhere")
	before.Init(newPlugin(t).Options()...)
	if err := start(t, before); !errors.Is(err, oncemore.ErrSelectorReplaced) {
		t.Errorf("the plugin before the flags: got %v, want %v", err, oncemore.ErrSelectorReplaced)
	}
	after := newService(t, nil, "--registry=elsewhere")
	after.Init()
	after.Init(newPlugin(t).Options()...)
	if err := start(t, after); err != nil {
		t.Errorf("the plugin after the flags: %v", err)
	}
	if flat := flatOf(after); flat == nil || flat.Options().Registry != registry.Registry(elsewhere) {
		t.Errorf("the selector %v does not ask the registry of the flag", flat)
	}
}

// TestRegistryOfLater: micro.Registry after the plugin is heeded, as it is bare.
func TestRegistryOfLater(t *testing.T) {
	s := newService(t, nil)
	s.Init(newPlugin(t).Options()...)
	reg := fixture.NewRegistry(map[string][]string{"other": {"127.0.0.1:1"}})
	s.Init(micro.Registry(reg))
	next, err := flatOf(s).Select("other")
	if err != nil {
		t.Fatal(err)
	}
	if node, err := next(); err != nil || node.Address != "127.0.0.1:1" {
		t.Errorf("Next = %v, %v", node, err)
	}
	if err := start(t, s); err != nil {
		t.Errorf("the service did not start: %v", err)
	}
}

func TestKeepsASelectorOfTheUsers(t *testing.T) {
	own := fixedSelector{}
	stock := selector.NewSelector(selector.Registry(fixture.NewRegistry(nil)))
	for name, tt := range map[string]struct {
		selector selector.Selector
		opts     []oncemore.Option
	}{
		"another kind":    {own, nil},
		"WithOwnSelector": {stock, []oncemore.Option{oncemore.WithOwnSelector()}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, nil)
			s.Init(micro.Selector(tt.selector))
			s.Init(newPluginWith(t, tt.opts...).Options()...)
			if got := s.Client().Options().Selector; got != tt.selector {
				t.Errorf("the selector is %T, want the user's own", got)
			}
			if err := start(t, s); err != nil {
				t.Errorf("the service did not start: %v", err)
			}
		})
	}
}

// TestKeepsTheUsersStrategy that the stock selector was given.
func TestKeepsTheUsersStrategy(t *testing.T) {
	asked := 0
	strategy := func(services []*registry.Service) selector.Next { asked++; return selector.Random(services) }
	reg := fixture.NewRegistry(map[string][]string{fixture.DefaultService: {fixture.RefusedAddress(t)}})
	s := newService(t, nil)
	s.Init(micro.Selector(selector.NewSelector(selector.Registry(reg), selector.SetStrategy(strategy))))
	s.Init(newPlugin(t, wrapper.WithAttempts(1)).Options()...)
	if flatOf(s) == nil {
		t.Fatal("no flat selector")
	}
	_, err := fixture.Call(t.Context(), s.Client(), fixture.Echo, "")
	if err == nil || asked == 0 {
		t.Errorf("error %v, the strategy was asked %d times", err, asked)
	}
}

func TestSelectorOptionsAreChecked(t *testing.T) {
	for want, opts := range map[string][]oncemore.Option{
		"WithResync(1ms)": {oncemore.WithSelector(selectorx.WithResync(time.Millisecond))},
		"WithOwnSelector": {oncemore.WithSelector(selectorx.WithResync(time.Minute)), oncemore.WithOwnSelector()},
		"nil FlatOption":  {oncemore.WithSelector(nil)},
	} {
		if _, err := oncemore.New(opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
	p := newPluginWith(t, oncemore.WithSelector(selectorx.WithResync(time.Minute)))
	s := newService(t, nil)
	s.Init(p.Options()...)
	if flatOf(s) == nil {
		t.Error("no flat selector")
	}
}
