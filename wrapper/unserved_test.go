package wrapper_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/logtest"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// warnings are the lines about endpoints that no node lists.
func warnings(log *logtest.Text) []string {
	return slices.DeleteFunc(strings.Split(log.String(), "\n"), func(line string) bool {
		return !strings.Contains(line, "no node lists")
	})
}

func wantWarnings(t *testing.T, log *logtest.Text, want ...[]string) {
	t.Helper()
	got := warnings(log)
	if len(got) != len(want) {
		t.Errorf("%d warnings, want %d: %q", len(got), len(want), got)
		return
	}
	for i, words := range want {
		for _, word := range words {
			if !slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, word) }) {
				t.Errorf("warning %d lacks %s: %q", i+1, word, got)
			}
		}
	}
}

// listing is the fixture's service as a registry knows it: with its endpoints.
func listing(name string, endpoints []string, addresses ...string) []*registry.Service {
	services := nodes(addresses...)
	services[0].Name = name
	for _, endpoint := range endpoints {
		services[0].Endpoints = append(services[0].Endpoints, &registry.Endpoint{Name: endpoint})
	}
	return services
}

// TestCalledEndpointThatNobodyServes, on real servers: it is warned of once, with
// the nearest that there is.
func TestCalledEndpointThatNobodyServes(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		log := logtest.Default(t)
		node := fixture.Start(t, fixture.Config{Transport: transport})
		services := listing(fixture.DefaultService, []string{fixture.Echo, fixture.Sleep, fixture.Fail}, node.Address())
		c := wrap(t, fixture.NewClient(t, transport, nil, client.Selector(fixedSelector{services: services})))
		for range 3 {
			if _, err := fixture.Call(t.Context(), c, "Fixture.Ecco", ""); err == nil {
				t.Error("no error")
			}
			for _, served := range []string{fixture.Echo, fixture.Fail, "fixture." + fixture.Echo} {
				_, _ = fixture.Call(t.Context(), c, served, "no")
			}
			if _, err := fixture.Call(t.Context(), c, fixture.BadRequest, "no"); err == nil { // it is there, and nobody lists it
				t.Error("no error")
			}
		}
		wantWarnings(t, log,
			[]string{`"oncemore: an endpoint was called that no node lists"`, "service=callee", "endpoint=Fixture.Ecco", "nearest=Fixture.Echo"},
			[]string{"endpoint=Fixture.BadRequest"})
	})
}

// TestServedThoughUnlisted: what answers well is served, whatever nodes list.
func TestServedThoughUnlisted(t *testing.T) {
	log := logtest.Default(t)
	wire := &recorder{answers: []error{nil, errTimeout}}
	c := newWire(t, listing("bank", []string{"Bank.Other"}, "a"), wire.wire)
	for range 3 {
		_, _, _ = call(t.Context(), c, write)
	}
	wantWarnings(t, log)
}

// TestNothingToCompareWith: of nodes that list nothing, behind a proxy, by address,
// and where nobody answered, nothing is known.
func TestNothingToCompareWith(t *testing.T) {
	notFound := remote(`{"id":"bank","code":404}`)
	for name, tt := range map[string]struct {
		services []*registry.Service
		answer   error
		opts     []client.CallOption
	}{
		"nothing listed": {nodes("a"), notFound, nil},
		"a proxy":        {listing("proxy", []string{"Proxy.Serve"}, "a"), notFound, nil},
		"by address":     {listing("bank", []string{"Bank.Other"}, "a"), notFound, []client.CallOption{client.WithAddress("b")}},
		"no answer":      {listing("bank", []string{"Bank.Other"}, "a"), errBroken, nil},
	} {
		t.Run(name, func(t *testing.T) {
			log := logtest.Default(t)
			c := newWire(t, tt.services, (&recorder{answers: []error{tt.answer}}).wire)
			if _, _, err := call(t.Context(), c, write, tt.opts...); err == nil {
				t.Error("no error")
			}
			wantWarnings(t, log)
		})
	}
}

// TestRuleWithNamesThatNobodyServes: a name with its service is looked for there;
// one without may be another service's, unless it is a slip of the pen.
func TestRuleWithNamesThatNobodyServes(t *testing.T) {
	served := []string{"Bank.Balance", "Bank.Transfer", "Bank.Close"}
	for _, tt := range []struct {
		name   string
		listed []string
		want   [][]string
	}{
		{"all served", []string{"Bank.Balance", "bank/Bank.Transfer"}, nil},
		{"with its service", []string{"bank/Bank.Balancee", "Bank.Transfer"}, [][]string{{"a rule lists", "service=bank", "endpoint=bank/Bank.Balancee", "nearest=Bank.Balance"}}},
		{"far from everything", []string{"bank/Audit.Everything"}, [][]string{{"endpoint=bank/Audit.Everything", "nearest=Bank."}}},
		{"a slip", []string{"Bank.Balnce"}, [][]string{{"endpoint=Bank.Balnce", "nearest=Bank.Balance"}}},
		{"another letter", []string{"bank.transfer"}, [][]string{{"endpoint=bank.transfer", "nearest=Bank.Transfer"}}},
		{"perhaps another service's", []string{"Audit.Everything", "shop/Bank.Balancee"}, nil},
		{"near one that is listed, too", []string{"Bank.Balance", "Bank.Balances"}, nil},
		{"several", []string{"bank/Bank.A", "bank/Bank.B"}, [][]string{{"endpoint=bank/Bank.A"}, {"endpoint=bank/Bank.B"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := logtest.Default(t)
			list := make(map[string]retryfunc.Safety)
			for _, name := range tt.listed {
				list[name] = retryfunc.SafetySafe
			}
			rule, err := retryfunc.Endpoints(list)
			if err != nil {
				t.Fatal(err)
			}
			c := newWire(t, listing("bank", served, "a"), new(recorder).wire, wrapper.WithSafety(retryfunc.First(rule)))
			for range 3 {
				for _, endpoint := range served {
					if _, _, err := call(t.Context(), c, endpoint); err != nil {
						t.Fatal(err)
					}
				}
			}
			wantWarnings(t, log, tt.want...)
		})
	}
}

// TestWarningsAreBounded, should endpoints be made up at run time, and by many
// callers at once.
func TestWarningsAreBounded(t *testing.T) {
	const callers, each, most = 8, 700, 4096
	log := logtest.Default(t)
	wire := &recorder{answers: []error{remote(`{"id":"bank","code":404}`)}}
	c := newWire(t, listing("bank", []string{"Bank.Balance"}, "a"), wire.wire)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			for j := range each {
				_, _, _ = call(t.Context(), c, fmt.Sprint("Made.Up", i, "x", j))
			}
		})
	}
	group.Wait()
	if got := len(warnings(log)); got != most {
		t.Errorf("%d warnings of %d names, want %d", got, callers*each, most)
	}
}
