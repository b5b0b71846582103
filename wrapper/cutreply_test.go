package wrapper_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	frame "go-micro.dev/v4/codec/bytes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// whole is what an instance answers that lives.
const whole = `"whole"`

// cutting are two instances that answer with whole, but for the first so many replies,
// which they cut between header and body.
type cutting struct {
	addresses []string
	left      atomic.Int32
}

func startCutting(t *testing.T) *cutting {
	t.Helper()
	c := new(cutting)
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		c.addresses = append(c.addresses, l.Addr().String())
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				c.answer(conn)
			}
		}()
	}
	return c
}

func (c *cutting) answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	if _, err = io.Copy(io.Discard, req.Body); err != nil { // else the connection is reset
		return
	}
	reply := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n", len(whole))
	if c.left.Add(-1) < 0 {
		reply += whole
	}
	_, _ = conn.Write([]byte(reply)) // the client says what it got
}

// ask makes a call by a client of its own, the first so many of whose replies are cut.
func (c *cutting) ask(t *testing.T, cut int32, rsp any, opts ...wrapper.ClientOption) (report wrapper.Report, err error) {
	t.Helper()
	c.left.Store(cut)
	wrapped := wrap(t, fixture.NewClient(t, fixture.MUCP, c.addresses), append(opts, sleepIsSafe(t))...)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req := wrapped.NewRequest(fixture.DefaultService, fixture.Sleep, wrapperspb.String("0s"), client.WithContentType("application/json"))
	err = wrapped.Call(ctx, req, rsp, wrapper.WithStory(&report))
	return report, err
}

// TestReplyCutBeforeItsBody: an instance that is killed between the header and the body of
// a reply has not answered, although go-micro's transport says that it has, with nothing.
func TestReplyCutBeforeItsBody(t *testing.T) {
	c := startCutting(t)
	var rsp wrapperspb.StringValue
	report, err := c.ask(t, 1, &rsp)
	if err != nil || rsp.GetValue() != "whole" {
		t.Errorf("answered %q, error %v: %s", rsp.GetValue(), err, report.Story())
	}
	if len(report.Attempts) != 2 || report.Attempts[0].Class != retryfunc.Broken {
		t.Errorf("story %s, want a broken attempt and one that is answered", report.Story())
	}
	if report, err = c.ask(t, 1, new(frame.Frame)); err != nil || len(report.Attempts) != 1 { // there may be no bytes
		t.Errorf("bytes as they come: error %v: %s", err, report.Story())
	}
}

// TestEmptyAnswersEjectNobody: an endpoint may always answer with nothing, which no JSON
// is; the instances that do are well, and have other endpoints.
func TestEmptyAnswersEjectNobody(t *testing.T) {
	c, set := startCutting(t), newSet(t)
	for range 20 {
		if report, err := c.ask(t, 100, new(wrapperspb.StringValue), wrapper.WithBreaker(set), wrapper.WithoutRetry()); err == nil {
			t.Fatalf("no error: %s", report.Story())
		}
	}
	if open := set.Ejected(); len(open) > 0 {
		t.Errorf("ejected: %+v", open)
	}
}

// TestStreamCutBeforeItsFirstMessage: the same of a stream, whatever it is encoded in.
func TestStreamCutBeforeItsFirstMessage(t *testing.T) {
	for _, contentType := range []string{"application/json", "application/protobuf"} {
		c := startCutting(t)
		c.left.Store(1)
		wrapped := wrap(t, fixture.NewClient(t, fixture.MUCP, c.addresses), sleepIsSafe(t))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req := wrapped.NewRequest(fixture.DefaultService, fixture.Sleep, nil, client.StreamingRequest(), client.WithContentType(contentType))
		stream, err := wrapped.Stream(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		var rsp frame.Frame
		if err = stream.Recv(&rsp); err != nil || string(rsp.Data) != whole {
			t.Errorf("%s: received %q, error %v", contentType, rsp.Data, err)
		}
		_ = stream.Close() // the instance has closed it
	}
}
