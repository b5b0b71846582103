package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// peers are the instances that the node knows, by their names.
type peers struct {
	mu       sync.Mutex
	services map[string]*registry.Service
}

func (p *peers) set(name string, s *registry.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.services == nil {
		p.services = make(map[string]*registry.Service)
	}
	p.services[name] = s
}

func (p *peers) get(name string) *registry.Service {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.services[name]
}

// listen ends with the process.
func (n *node) listen() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		act := func() { fmt.Printf("%s %s: %s\n", words[0], words[1], n.do(words[0], words[1], words[2:])) }
		if words[0] == "call" {
			go act()
			continue
		}
		act()
	}
}

// do does what one line says.
func (n *node) do(verb, name string, args []string) string {
	switch verb {
	case "know":
		s := new(registry.Service)
		if err := json.Unmarshal([]byte(args[0]), s); err != nil {
			return err.Error()
		}
		n.known.set(name, s)
		return answer("known", n.registry.Register(s))
	case "forget":
		return answer("forgotten", n.registry.Deregister(n.known.get(name)))
	case "call":
		return n.call(args)
	case "publish":
		return n.publish(args[0])
	case "deliver":
		return answer("handled", n.broker.deliver(args[0]))
	}
	return "unknown verb"
}

// answer is what came of something.
func answer(what string, err error) string {
	if err == nil {
		return what
	}
	return fmt.Sprintf("error %d: %v", errors.Parse(err.Error()).Code, err)
}

// callTime is the deadline of a call: far more than any takes on a busy machine.
const callTime = time.Minute

func (n *node) call(args []string) string {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	if args[1] != "-" {
		ctx = idempotency.WithKey(ctx, args[1])
	}
	var opts []client.CallOption
	if len(args) > 3 {
		opts = append(opts, client.WithAddress(n.known.get(args[3]).Nodes[0].Address))
	}
	var story wrapper.Report
	reply, err := n.ask(wrapper.WithReport(ctx, &story), args[0], args[2], opts...)
	return answer(reply, err) + attemptsOf(err, story)
}

// attemptsOf is what a failed call did, for whoever reads the log of a test.
func attemptsOf(err error, story wrapper.Report) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf(" after %v", story.Attempts)
}

// ask makes a call and returns its reply.
func (n *node) ask(ctx context.Context, method, body string, opts ...client.CallOption) (string, error) {
	service, endpoint, _ := strings.Cut(method, ".")
	rsp := new(wrapperspb.StringValue)
	err := n.client.Call(ctx, n.client.NewRequest(service, endpoint, wrapperspb.String(body)), rsp, opts...)
	return rsp.GetValue(), err
}

func (n *node) publish(body string) string {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	if err := n.client.Publish(ctx, n.client.NewMessage(topic, wrapperspb.String(body))); err != nil {
		return answer("", err)
	}
	return n.broker.last()
}
