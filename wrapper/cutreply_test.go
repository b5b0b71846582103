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

// TestReplyCutBeforeItsBody: an instance that is killed between the header and the body of
// a reply has not answered, although go-micro's transport says that it has, with nothing.
func TestReplyCutBeforeItsBody(t *testing.T) {
	const body = `"whole"`
	var served atomic.Int32
	cuts := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		if _, err = io.Copy(io.Discard, req.Body); err != nil { // else the connection is reset
			return
		}
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n", len(body))
		if served.Add(1) > 1 {
			head += body
		}
		_, _ = conn.Write([]byte(head)) // the client says what it got
	}
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		addresses = append(addresses, l.Addr().String())
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				cuts(conn)
			}
		}()
	}
	ask := func(rsp any) (wrapper.Report, error) {
		served.Store(0)
		c := wrap(t, fixture.NewClient(t, fixture.MUCP, addresses), sleepIsSafe(t))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var report wrapper.Report
		req := c.NewRequest(fixture.DefaultService, fixture.Sleep, wrapperspb.String("0s"), client.WithContentType("application/json"))
		err := c.Call(ctx, req, rsp, wrapper.WithStory(&report))
		return report, err
	}
	var rsp wrapperspb.StringValue
	report, err := ask(&rsp)
	if err != nil || rsp.GetValue() != "whole" {
		t.Errorf("answered %q, error %v: %s", rsp.GetValue(), err, report.Story())
	}
	if len(report.Attempts) != 2 || report.Attempts[0].Class != retryfunc.Broken {
		t.Errorf("story %s, want a broken attempt and one that is answered", report.Story())
	}
	if report, err = ask(new(frame.Frame)); err != nil || len(report.Attempts) != 1 { // there may be no bytes
		t.Errorf("bytes as they come: error %v: %s", err, report.Story())
	}
}
