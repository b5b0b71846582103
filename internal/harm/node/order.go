package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go-micro.dev/v4/client"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The services. Each has one endpoint.
const (
	// LeafService does the work.
	LeafService = "leaf"
	// OuterService passes a call on to MiddleService, and that to LeafService.
	OuterService  = "outer"
	MiddleService = "middle"
	// FanService makes Width calls to LeafService at once.
	FanService = "fan"
)

// Endpoint returns the one endpoint of a service: go-micro names it after the
// handler's type and method.
func Endpoint(service string) string {
	switch service {
	case OuterService:
		return "Outer.Pass"
	case MiddleService:
		return "Middle.Pass"
	case FanService:
		return "Fan.Spread"
	default:
		return "Leaf.Work"
	}
}

// Width is how many calls the fan makes at once.
const Width = 3

// Order is what a call asks for.
type Order struct {
	// ID is unique in an arm.
	ID string `json:"id"`
	// Work is how long the leaf takes.
	Work time.Duration `json:"work"`
	// Size is how many bytes its reply has beside the id.
	Size int `json:"size"`
}

// Call gives the order to a service. No error means that the
// reply is the one to this order.
func Call(ctx context.Context, c client.Client, service string, o Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var reply wrapperspb.StringValue
	if err := c.Call(ctx, c.NewRequest(service, Endpoint(service), wrapperspb.String(string(body))), &reply); err != nil {
		return err
	}
	if got := reply.GetValue(); got != o.reply() {
		return fmt.Errorf("node: the reply is %.40q and %d bytes long, not that to %q", got, len(got), o.ID)
	}
	return nil
}

func (o Order) reply() string { return o.ID + "|" + strings.Repeat("x", o.Size) }

func parseOrder(body string) (Order, error) {
	var o Order
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		return o, fmt.Errorf("node: order %.40q: %w", body, err)
	}
	return o, nil
}
