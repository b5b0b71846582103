package retryfunc

import (
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/codec"
)

// request is a client.Request of no known client.
type request struct {
	service, endpoint string
	body              any
}

var _ client.Request = request{}

func (r request) Service() string     { return r.service }
func (r request) Method() string      { return r.endpoint }
func (r request) Endpoint() string    { return r.endpoint }
func (r request) ContentType() string { return "application/json" }
func (r request) Body() any           { return r.body }
func (r request) Codec() codec.Writer { return nil }
func (r request) Stream() bool        { return false }
