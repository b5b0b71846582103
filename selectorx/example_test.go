package selectorx_test

import (
	"fmt"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/selectorx"
)

// down is the simplest Ejector: a fixed set of nodes that refuse connections.
type down map[string]bool

func (d down) AnyOpen() bool                            { return len(d) > 0 }
func (d down) Open(address string) (open, refused bool) { return d[address], d[address] }
func (d down) Probe(string, bool) bool                  { return false }

func Example() {
	b, err := selectorx.NewBalancer(selectorx.WithEjector(down{"10.0.0.1:80": true}))
	if err != nil {
		fmt.Println(err)
		return
	}
	call := b.NewCall(true)
	next := call.Strategy(selectorx.NewRoundRobin())([]*registry.Service{{
		Name:  "hello",
		Nodes: []*registry.Node{{Address: "10.0.0.1:80"}, {Address: "10.0.0.2:80"}, {Address: "10.0.0.3:80"}},
	}})
	tried := map[string]bool{}
	for range 2 {
		node, err := next()
		if err != nil {
			fmt.Println(err)
			return
		}
		tried[node.Address] = true
	}
	fmt.Println(tried, call.Untried())
	// Output: map[10.0.0.2:80:true 10.0.0.3:80:true] false
}

func ExampleCall_Substitute() {
	var call selectorx.Call // ejects nothing
	nodes := []*registry.Node{{Address: "10.0.0.1:80"}, {Address: "10.0.0.2:80"}}
	one, other := call.Substitute(nodes), call.Substitute(nodes)
	fmt.Println(one.Address != other.Address)
	// Output: true
}

func ExampleNewSelector() {
	s, err := selectorx.NewSelector(selector.NewSelector(selector.Registry(registry.NewMemoryRegistry())))
	if err != nil {
		fmt.Println(err)
		return
	}
	c := client.NewClient(client.Selector(s))
	fmt.Println(c.Options().Selector.String())
	// Output: registry
}

func ExampleNewFlat() {
	reg := registry.NewMemoryRegistry(registry.Services(map[string][]*registry.Service{"hello": {{
		Name: "hello", Version: "1", Nodes: []*registry.Node{{Id: "a", Address: "10.0.0.1:80"}, {Id: "b", Address: "10.0.0.2:80"}},
	}}}))
	flat, err := selectorx.NewFlat(selectorx.WithRegistry(reg))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = flat.Close() }()
	c := client.NewClient(client.Selector(flat))
	if _, err := c.Options().Selector.Select("hello"); err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range flat.Status() {
		fmt.Println(s.Service, s.Nodes, s.Err)
	}
	// Output: hello 2 <nil>
}
