package httpguard_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

// TestStatuses: what is an answer is kept, and what settles nothing is not.
func TestStatuses(t *testing.T) {
	for _, test := range []struct {
		status int
		runs   int32
	}{
		{200, 1}, {202, 1}, {204, 1}, {302, 1}, {304, 1}, {400, 1}, {402, 1}, {404, 1}, {409, 1}, {422, 1},
		{500, 1}, {502, 1}, // nobody knows how far it came
		{99, 1}, {1000, 1},
		{408, 2}, {425, 2}, {429, 2}, {503, 2}, // no answers
	} {
		t.Run(strconv.Itoa(test.status), func(t *testing.T) {
			var runs atomic.Int32
			server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Reason", "none")
				w.WriteHeader(test.status)
				if _, err := io.WriteString(w, "because"); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
					t.Error(err)
				}
			})))
			server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			first := send(t, server, "POST", "/tips", "k", "x")
			second := send(t, server, "POST", "/tips", "k", "x")
			if runs.Load() != test.runs {
				t.Errorf("%d executions, want %d", runs.Load(), test.runs)
			}
			want := test.status
			if want < 100 || want > 999 {
				want = 500 // net/http panics
			}
			if first.StatusCode != want || second.StatusCode != want {
				t.Errorf("statuses %d and %d, want %d", first.StatusCode, second.StatusCode, want)
			}
			if first.body != second.body {
				t.Errorf("bodies %q and %q", first.body, second.body)
			}
			if second.Header.Get("X-Reason") != "none" {
				t.Error("the replay has lost a header")
			}
			if first.replayed() || second.replayed() != (test.runs == 1) {
				t.Errorf("replayed: %v and %v after %d executions", first.replayed(), second.replayed(), test.runs)
			}
		})
	}
}

// TestEmptyResponse: a handler that does nothing answers 200.
func TestEmptyResponse(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, func(http.ResponseWriter, *http.Request) {})))
	for i := range 2 {
		if a := send(t, server, "POST", "/tips", "k", "x"); a.StatusCode != http.StatusOK || a.body != "" || a.replayed() != (i == 1) {
			t.Errorf("%d %q, replayed %v", a.StatusCode, a.body, a.replayed())
		}
	}
	if runs.Load() != 1 {
		t.Errorf("%d executions, want 1", runs.Load())
	}
}

// TestHeadersOfOthers: what another middleware sets is its own for each request,
// and what the handler takes away from it is gone.
func TestHeadersOfOthers(t *testing.T) {
	var requests atomic.Int32
	guarded := newMiddleware(t, newGuard(t)).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if w.Header().Get("X-Request") == "" {
			t.Error("the handler does not see what is set")
		}
		w.Header().Del("X-Frame")
		w.Header().Set("X-Own", "1")
		w.WriteHeader(http.StatusOK)
		w.Header().Set("X-Late", "1")
	}))
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request", strconv.Itoa(int(requests.Add(1))))
		w.Header().Set("X-Frame", "deny")
		guarded.ServeHTTP(w, r)
	}))
	for _, want := range []string{"1", "2"} {
		a := send(t, server, "POST", "/tips", "k", "x")
		if got := a.Header.Get("X-Request"); got != want {
			t.Errorf("request %s was answered as %s", want, got)
		}
		if a.Header.Get("X-Own") != "1" {
			t.Error("the handler's header is missing")
		}
		if a.Header.Get("X-Late") != "" {
			t.Error("a header was sent that was set too late")
		}
		if want == "1" && a.Header.Get("X-Frame") != "" {
			t.Error("a header that the handler deleted was sent")
		}
	}
}

func TestChosenHeaders(t *testing.T) {
	server := serve(t, newMiddleware(t, newGuard(t), httpguard.WithHeaders("set-cookie")).Wrap(http.HandlerFunc(created)))
	send(t, server, "POST", "/tips", "k", "x")
	a := send(t, server, "POST", "/tips", "k", "x")
	for name, want := range map[string]string{
		"Set-Cookie": "session=secret", "Content-Type": "application/json", "Location": "",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestStreamed: a response that is flushed reaches the client while the handler
// runs, and is remembered without its body.
func TestStreamed(t *testing.T) {
	var runs atomic.Int32
	read := make(chan struct{})
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "data: 1\n\n")
		flush(w)
		<-read
		fmt.Fprint(w, "data: 2\n\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, "data: 3\n\n")
	})))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(idempotency.HeaderKey, "k")
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, len("data: 1\n\n"))
	if _, err := io.ReadFull(response.Body, part); err != nil || string(part) != "data: 1\n\n" {
		t.Errorf("got %q, %v", part, err)
	}
	close(read)
	rest, err := io.ReadAll(response.Body)
	if err != nil || string(rest) != "data: 2\n\ndata: 3\n\n" {
		t.Errorf("got %q, %v", rest, err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	again := send(t, server, "POST", "/events", "k", "")
	if again.StatusCode != http.StatusGone || !strings.Contains(again.body, `"response_status":200`) || runs.Load() != 1 {
		t.Errorf("%d %s after %d executions, want 410 after 1", again.StatusCode, again.body, runs.Load())
	}
	wantProblem(t, again, "not-kept")
}

// TestOversize: a response that is too large to be kept is sent whole, once.
func TestOversize(t *testing.T) {
	for _, size := range []int{1, 750, 751, 5000, 100_000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			var runs atomic.Int32
			server := serve(t, newMiddleware(t, newGuard(t, idempotency.WithMaxReply(1000))).Wrap(
				counting(&runs, func(w http.ResponseWriter, _ *http.Request) {
					for left := size; left > 0; left -= 500 {
						if _, err := io.WriteString(w, strings.Repeat("x", min(left, 500))); err != nil {
							t.Error(err)
						}
					}
				})))
			first := send(t, server, "POST", "/tips", "k", "")
			if len(first.body) != size || first.err != nil {
				t.Errorf("the first got %d bytes, %v, want %d", len(first.body), first.err, size)
			}
			second := send(t, server, "POST", "/tips", "k", "")
			if second.StatusCode == http.StatusGone {
				wantProblem(t, second, "not-kept")
			} else if len(second.body) != size {
				t.Errorf("the second got %d bytes, want %d", len(second.body), size)
			}
			if kept := second.StatusCode != http.StatusGone; kept != (size < 700) {
				t.Errorf("kept %v", kept)
			}
			if runs.Load() != 1 {
				t.Errorf("%d executions, want 1", runs.Load())
			}
		})
	}
}

func TestHijacked(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := hijacker(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("write: %v, want %v", err, http.ErrHijacked)
		}
		fmt.Fprint(rw, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
		if err := errors.Join(rw.Flush(), conn.Close()); err != nil {
			t.Error(err)
		}
	})))
	if a := send(t, server, "POST", "/ws", "k", ""); a.StatusCode != http.StatusOK || a.body != "hi" {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	again := send(t, server, "POST", "/ws", "k", "")
	if again.StatusCode != http.StatusGone || runs.Load() != 1 {
		t.Errorf("%d after %d executions, want 410 after 1", again.StatusCode, runs.Load())
	}
	wantProblem(t, again, "not-kept")
}

// TestInformational: 103 goes to the client while the handler runs.
func TestInformational(t *testing.T) {
	hinted := make(chan struct{})
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		<-hinted
		created(w, r)
	})))
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if code != 103 || header.Get("Link") != "</style.css>" {
				t.Errorf("got %d %v", code, header)
			}
			close(hinted)
			return nil
		},
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/tips", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(idempotency.HeaderKey, "k")
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusCreated {
		t.Errorf("%d, %v", response.StatusCode, err)
	}
}

func TestTrailers(t *testing.T) {
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, x-count")
		fmt.Fprint(w, "body")
		w.Header().Set("X-Sum", "7")
		w.Header().Set("X-Count", "1")
		w.Header().Set(http.TrailerPrefix+"X-More", "yes")
	})))
	a := send(t, server, "POST", "/tips", "k", "")
	for name, want := range map[string]string{"X-Sum": "7", "X-Count": "1", "X-More": "yes"} {
		if got := a.Trailer.Get(name); got != want {
			t.Errorf("trailer %s is %q, want %q", name, got, want)
		}
	}
	again := send(t, server, "POST", "/tips", "k", "")
	if again.body != "body" || !again.replayed() {
		t.Errorf("%q, replayed %v", again.body, again.replayed())
	}
}

func TestPanics(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Half", "1")
		fmt.Fprint(w, "half of it")
		panic("secret")
	})))
	for range 2 {
		a := send(t, server, "POST", "/tips", "k", "")
		if a.StatusCode != http.StatusInternalServerError || strings.Contains(a.body, "secret") || strings.Contains(a.body, "half") || a.Header.Get("X-Half") != "" {
			t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
		}
		wantProblem(t, a, "failed")
	}
	if runs.Load() != 1 {
		t.Errorf("%d executions, want 1", runs.Load())
	}
}

// TestAborts: what net/http would cut off is cut off.
func TestAborts(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"by the handler": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"panic in a stream": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "half of it")
			flush(w)
			panic("secret")
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, newMiddleware(t, newGuard(t)).Wrap(handle))
			if a, err := trySend(t, server, "POST", "/tips", "k", ""); err == nil && a.err == nil {
				t.Errorf("%d %q was taken for whole", a.StatusCode, a.body)
			}
		})
	}
}

// TestNothingIsAcknowledgedBeforeTheCommit: a response is held back until it is
// recorded, at the least its last byte.
func TestNothingIsAcknowledgedBeforeTheCommit(t *testing.T) {
	for _, size := range []int{10, 2000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			neverCommits := storetest.Faulty(newStore(t), func(_ context.Context, op storetest.Op) storetest.Fault {
				if op == storetest.OpComplete {
					return storetest.Fault{Before: idempotency.Repeatable(errors.New("serialization failure at 10.0.0.7"))}
				}
				return storetest.Fault{Change: func(out *idempotency.Outcome) { out.Transactional = true }}
			})
			guard, err := idempotency.New(neverCommits, idempotency.WithLogger(nil), idempotency.WithMaxReply(1000))
			if err != nil {
				t.Fatal(err)
			}
			server := serve(t, newMiddleware(t, guard).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(size))
				fmt.Fprint(w, strings.Repeat("x", size))
			})))
			a, err := trySend(t, server, "POST", "/tips", "k", "")
			if err == nil && a.err == nil && a.StatusCode < 500 {
				t.Errorf("%d with %d bytes was taken for whole", a.StatusCode, len(a.body))
			}
			if size == 10 {
				wantProblem(t, a, "refused")
				if strings.Contains(a.body, "10.0.0.7") {
					t.Errorf("%s names a host", a.body)
				}
			}
		})
	}
}

// TestController: what reaches net/http through http.ResponseController does so
// through the middleware.
func TestController(t *testing.T) {
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		if err := controller.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("SetWriteDeadline: %v", err)
		}
		if err := controller.EnableFullDuplex(); err != nil {
			t.Errorf("EnableFullDuplex: %v", err)
		}
		if _, ok := w.(interface{ CloseNotify() <-chan bool }); !ok { // gin asks for it
			t.Error("no CloseNotifier")
		}
		if err := pusher(w).Push("/style.css", nil); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Push: %v, want %v", err, http.ErrNotSupported)
		}
		created(w, r)
	})))
	if a := send(t, server, "POST", "/tips", "k", "x"); a.StatusCode != http.StatusCreated {
		t.Errorf("status %d", a.StatusCode)
	}
}

// plainWriter can do no more than it must.
type plainWriter struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *plainWriter) Header() http.Header         { return w.header }
func (w *plainWriter) WriteHeader(status int)      { w.status = status }
func (w *plainWriter) Write(p []byte) (int, error) { return w.body.Write(p) }

// TestPlainWriter: a handler that may not flush does not lose its body to trying.
func TestPlainWriter(t *testing.T) {
	handler := newMiddleware(t, newGuard(t)).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "body")
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush: %v, want %v", err, http.ErrNotSupported)
		}
		if _, _, err := hijacker(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v, want %v", err, http.ErrNotSupported)
		}
	}))
	for range 2 {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("POST /tips HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		w := &plainWriter{header: make(http.Header)}
		handler.ServeHTTP(w, r.WithContext(t.Context()))
		if w.status != 200 || w.body.String() != "body" {
			t.Errorf("%d %q", w.status, w.body.String())
		}
	}
}

// TestRecovery: a recovery function is given the request, and fills the response.
func TestRecovery(t *testing.T) {
	store := newStore(t)
	guard, err := idempotency.New(store, idempotency.WithLogger(nil),
		idempotency.WithTakeover(idempotency.TakeoverRecover(func(_ context.Context, o idempotency.Orphan) (bool, error) {
			request, _ := o.Body.(*httpguard.Request)
			response, _ := o.Reply.(*httpguard.Response)
			if request == nil || string(request.Body) != "x" || response == nil {
				t.Errorf("body %v, reply %v", o.Body, o.Reply)
				return false, nil
			}
			response.Status, response.Body = 201, []byte("found")
			return true, nil
		})))
	if err != nil {
		t.Fatal(err)
	}
	scope := idempotency.Scope{Service: "shop", Endpoint: "POST /tips", Key: "k"}
	_, err = store.Begin(t.Context(), idempotency.Claim{ // whoever made it has died
		Key: scope.StoreKey(), Owner: idempotency.Owner{1}, Lease: time.Millisecond, Timeout: time.Second, Retention: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := serve(t, newMiddleware(t, guard).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the handler ran")
	})))
	for range 2 {
		if a := send(t, server, "POST", "/tips", "k", "x"); a.StatusCode != http.StatusCreated || a.body != "found" || !a.replayed() {
			t.Errorf("%d %q, replayed %v", a.StatusCode, a.body, a.replayed())
		}
	}
}

// TestUnsettledIsTold: a caller learns that a response was not kept, so that it may
// come again with its key, and that one was.
func TestUnsettledIsTold(t *testing.T) {
	for _, test := range []struct {
		name    string
		handle  http.HandlerFunc
		status  int
		told    string
		twoRuns bool
	}{
		{name: "success", handle: created, status: 201},
		{name: "final", handle: answering(http.StatusPaymentRequired), status: 402},
		{name: "failed, recorded", handle: answering(http.StatusInternalServerError), status: 500},
		{name: "panicked, recorded", handle: func(http.ResponseWriter, *http.Request) { panic("told to") }, status: 500},
		{name: "busy", handle: answering(http.StatusServiceUnavailable), status: 503, told: "true", twoRuns: true},
		{name: "slow down", handle: answering(http.StatusTooManyRequests), status: 429, told: "true", twoRuns: true},
		{name: "timed out", handle: answering(http.StatusRequestTimeout), status: 408, told: "true", twoRuns: true},
		{name: "streamed", handle: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = http.NewResponseController(w).Flush()
		}, status: 503, twoRuns: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var runs atomic.Int32
			server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, test.handle)))
			for range 2 {
				got := send(t, server, "POST", "/tips", "k", "five")
				if got.StatusCode != test.status || got.Header.Get(idempotency.HeaderUnsettled) != test.told {
					t.Errorf("status %d, unsettled %q; want %d, %q",
						got.StatusCode, got.Header.Get(idempotency.HeaderUnsettled), test.status, test.told)
				}
			}
			if n := runs.Load(); (n == 2) != test.twoRuns {
				t.Errorf("%d executions, told %q", n, test.told)
			}
		})
	}
}

func answering(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}
