package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

// mostSaid is how much of an answer is read, in bytes.
const mostSaid = 1 << 20

// Client is the other end of a Handler. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// NewClient talks to the Handler at a URL, which must be one of the loopback interface.
// The error is a *setting.Error.
func NewClient(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Port() == "" || !net.ParseIP(u.Hostname()).IsLoopback() {
		return nil, &setting.Error{Name: Variable, Value: base, Allowed: "unset, or http://127.0.0.1:PORT/…"}
	}
	return &Client{
		base: strings.TrimSuffix(base, "/"),
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, // it has no proxy, and nothing to close
	}, nil
}

// Look asks for the Fleet's report.
func (c *Client) Look(ctx context.Context) (Report, error) {
	var report Report
	body, err := c.do(ctx, http.MethodGet, "/")
	if err != nil {
		return report, err
	}
	return report, json.Unmarshal(body, &report)
}

// Do asks for an action. The errors are those of Fleet, and others.
func (c *Client) Do(ctx context.Context, instance string, action Action) error {
	_, err := c.do(ctx, http.MethodPost, "/"+url.PathEscape(instance)+"/"+url.PathEscape(string(action)))
	return err
}

func (c *Client) do(ctx context.Context, method, path string) (body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	rsp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rsp.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(rsp.Body, mostSaid))
	switch {
	case err != nil:
		return nil, err
	case rsp.StatusCode == http.StatusNotFound:
		return nil, ErrUnknown
	case rsp.StatusCode == http.StatusConflict:
		return nil, ErrNotNow
	case rsp.StatusCode >= http.StatusMultipleChoices:
		return nil, fmt.Errorf("control: %s: %s", rsp.Status, strings.TrimSpace(string(body)))
	}
	return body, nil
}
