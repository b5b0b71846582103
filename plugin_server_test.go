package oncemore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// announcing is a memory that announces an identity, as a shared store does.
type announcing struct {
	idempotency.Store
	id  string
	err error
}

func (s announcing) ID(context.Context) (string, error) { return s.id, s.err }

func memory(t *testing.T) idempotency.Store {
	t.Helper()
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestAnnouncesItsStore(t *testing.T) {
	for name, tt := range map[string]struct {
		store    idempotency.Store
		settings []idempotency.Option
		server   []wrapper.ServerOption
		want     string
	}{
		"shared store": {announcing{Store: memory(t), id: "s1"}, nil, nil, "s1"},
		"memory":       {memory(t), nil, nil, ""},
		"fail open":    {announcing{Store: memory(t), id: "s1"}, []idempotency.Option{idempotency.WithStoreFailure(idempotency.FailOpen)}, nil, ""},
		"one endpoint that fails open": {announcing{Store: memory(t), id: "s1"}, nil, []wrapper.ServerOption{
			wrapper.WithEndpointSettings("Bank.Pay", idempotency.WithLease(time.Second)),
			wrapper.WithEndpointSettings("Bank.Donate", idempotency.WithStoreFailure(idempotency.FailOpen)),
		}, ""},
		"endpoints with settings": {announcing{Store: memory(t), id: "s1"}, nil, []wrapper.ServerOption{
			wrapper.WithEndpointSettings("Bank.Pay", idempotency.WithLease(time.Second)),
		}, "s1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPluginWith(t, oncemore.WithStore(tt.store, tt.settings...), oncemore.WithServer(tt.server...))
			s := newService(t, nil)
			s.Init(micro.Metadata(map[string]string{"zone": "a"}))
			s.Init(p.Options()...)
			if err := start(t, s); err != nil {
				t.Fatal(err)
			}
			md := s.Server().Options().Metadata
			if md[wrapper.MetadataStore] != tt.want || md[wrapper.MetadataServer] == "" || md["zone"] != "a" {
				t.Errorf("announced %v, want store %q", md, tt.want)
			}
		})
	}
}

func TestDoesNotStartWithoutItsStore(t *testing.T) {
	down := errors.New("connection refused")
	p := newPluginWith(t, oncemore.WithStore(announcing{Store: memory(t), err: down}))
	s := newService(t, nil)
	s.Init(p.Options()...)
	if err := start(t, s); !errors.Is(err, down) {
		t.Errorf("error %v, want %v", err, down)
	}
}

func TestRenamedServiceDoesNotStart(t *testing.T) {
	p := newPluginWith(t, oncemore.WithStore(memory(t)))
	s := newService(t, nil)
	s.Init(p.Options()...)
	s.Init(micro.Name("another"))
	if err := start(t, s); err == nil || !strings.Contains(err.Error(), "renamed") {
		t.Errorf("error %v", err)
	}
}

func TestDrainsBeforeItStops(t *testing.T) {
	p := newPluginWith(t, oncemore.WithStore(memory(t)))
	s := newService(t, nil)
	s.Init(p.Options()...)
	for _, f := range s.Options().BeforeStop {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := p.Guard().Do(t.Context(), idempotency.Call{Service: "caller", Endpoint: "e", Key: idempotency.Key{Value: "k"}},
		func(context.Context) error { return nil })
	if !errors.Is(err, idempotency.ErrDraining) {
		t.Errorf("error %v, want %v", err, idempotency.ErrDraining)
	}
}

func TestWrongServerOptionsAreNamed(t *testing.T) {
	for want, opts := range map[string][]oncemore.Option{
		"WithStore(nil)":                    {oncemore.WithStore(nil)},
		"needs WithStore":                   {oncemore.WithServer(wrapper.WithKeyMode(wrapper.KeyRequired))},
		"WithDrainTimeout(-1s)":             {oncemore.WithDrainTimeout(-time.Second)},
		"WithDrainTimeout: needs WithStore": {oncemore.WithDrainTimeout(time.Second)},
	} {
		if _, err := oncemore.New(opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	p := newPluginWith(t)
	if _, err := p.HandlerWrapper("bank"); !errors.Is(err, oncemore.ErrNoStore) {
		t.Errorf("error %v, want %v", err, oncemore.ErrNoStore)
	}
	if _, err := p.SubscriberWrapper("bank"); !errors.Is(err, oncemore.ErrNoStore) {
		t.Errorf("error %v, want %v", err, oncemore.ErrNoStore)
	}
}
