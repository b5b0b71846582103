// Package node is the processes that an arm calls: instances of a service, and
// the proxy in front of them.
package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/program"
)

// Spec says what an instance is.
type Spec struct {
	// Program is the service; its name says what it does.
	Program program.Spec `json:"program"`
	// Safety is a value of cell's dimension, which the endpoint announces.
	Safety string `json:"safety"`
	// Journal is the file where executions are counted.
	Journal string `json:"journal"`
	// Slow is how much longer this instance takes than others.
	Slow time.Duration `json:"slow"`
	// Failing instances answer 500 at once.
	Failing bool `json:"failing"`
}

// Change is what an instance or a proxy is told, in lines of JSON, of the
// services it calls.
type Change struct {
	Register   []*registry.Service `json:"register"`
	Deregister []*registry.Service `json:"deregister"`
}

// Serve is the life of an instance: it writes to out what it registers, once it
// serves, takes Changes from in, and ends when in does.
func Serve(ctx context.Context, s Spec, in io.Reader, out io.Writer) error {
	journal, err := openJournal(s.Journal)
	if err != nil {
		return err
	}
	p, err := program.New(ctx, s.Program)
	if err != nil {
		return err
	}
	do, err := executionOf(s, p.Client())
	if err != nil {
		return err
	}
	if err := register(p.Server(), s, handler{Endpoint(s.Program.Name), journal, do}); err != nil {
		return fmt.Errorf("node: register the handler: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	p.Init(micro.Context(ctx), micro.AfterStart(func() error {
		go func() {
			failed <- follow(in, p.Registry)
			cancel()
		}()
		return say(p, s.Program.Name, out)
	}))
	return errors.Join(p.Run(), <-failed)
}

// say writes down what the instance has registered.
func say(p *program.Program, name string, out io.Writer) error {
	services, err := p.Registry.GetService(name)
	if err != nil {
		return fmt.Errorf("node: it is not in its own registry: %w", err)
	}
	return json.NewEncoder(out).Encode(services[0])
}

// follow applies changes until there are no more.
func follow(in io.Reader, reg registry.Registry) error {
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("node: read what has changed: %w", err)
		}
		var c Change
		if err := json.Unmarshal(line, &c); err != nil {
			return fmt.Errorf("node: read what has changed: %w", err)
		}
		if err := c.Apply(reg); err != nil {
			return err
		}
	}
}

// Apply makes the change in a registry.
func (c Change) Apply(reg registry.Registry) error {
	var errs []error
	for _, s := range c.Register {
		errs = append(errs, reg.Register(s))
	}
	for _, s := range c.Deregister {
		errs = append(errs, reg.Deregister(s))
	}
	return errors.Join(errs...)
}

// register gives the server its handler, with what it announces.
func register(s server.Server, spec Spec, h handler) error {
	var opts []server.HandlerOption
	if spec.Safety != cell.Neither {
		opts = append(opts, server.EndpointMetadata(h.endpoint, map[string]string{"idempotency": spec.Safety}))
	}
	if spec.Program.Client == cell.HTTP {
		return s.Handle(s.NewHandler(httpHandler{h}, opts...))
	}
	return s.Handle(s.NewHandler(rpcHandler(spec.Program.Name, h), opts...))
}

func rpcHandler(service string, h handler) any {
	switch service {
	case OuterService:
		return &Outer{h}
	case MiddleService:
		return &Middle{h}
	case FanService:
		return &Fan{h}
	default:
		return &Leaf{h}
	}
}

// httpHandler is what go-micro's http server takes.
type httpHandler struct{ handler }

// ServeHTTP runs an order.
func (h httpHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/"+h.endpoint {
		http.NotFound(w, r)
		return
	}
	var req, rsp wrapperspb.StringValue
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(body, &req)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := h.handle(r.Context(), &req, &rsp); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply, err := proto.Marshal(&rsp)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := w.Write(reply); err != nil {
		fmt.Fprintln(os.Stderr, "node: the caller has gone:", err)
	}
}
