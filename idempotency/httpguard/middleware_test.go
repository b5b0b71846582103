package httpguard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
)

// counting counts how often next runs.
func counting(runs *atomic.Int32, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		next(w, r)
	})
}

func created(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Location", "/tips/7")
	w.Header().Add("Set-Cookie", "session=secret")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"echo":%q}`, body)
}

func TestRunsOnceAndReplays(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, created)))
	first := send(t, server, "POST", "/tips", "k", "five")
	second := send(t, server, "POST", "/tips", `"k"`, "five")
	if runs.Load() != 1 {
		t.Errorf("%d executions, want 1", runs.Load())
	}
	if first.StatusCode != http.StatusCreated || first.body != `{"echo":"five"}` || first.replayed() {
		t.Errorf("first: %d %q, replayed %v", first.StatusCode, first.body, first.replayed())
	}
	if second.StatusCode != http.StatusCreated || second.body != first.body || !second.replayed() {
		t.Errorf("second: %d %q, replayed %v", second.StatusCode, second.body, second.replayed())
	}
	for _, name := range []string{"Content-Type", "Location"} {
		if got, want := second.Header.Get(name), first.Header.Get(name); got != want {
			t.Errorf("replayed %s is %q, want %q", name, got, want)
		}
	}
	if first.Header.Get("Set-Cookie") == "" {
		t.Error("the first response has lost its cookie")
	}
	if got := second.Header.Get("Set-Cookie"); got != "" {
		t.Errorf("the replay gives away the cookie %q", got)
	}
}

func TestWhichRequestsAreGuarded(t *testing.T) {
	optional := []httpguard.Option{httpguard.WithOptional()}
	for _, test := range []struct {
		name    string
		options []httpguard.Option
		method  string
		key     string
		status  int // 0: passes
		runs    int32
	}{
		{"POST with a key", nil, "POST", "k", 0, 1},
		{"PATCH with a key", nil, "PATCH", "k", 0, 1},
		{"PUT with a key", nil, "PUT", "k", 0, 1},
		{"DELETE with a key", nil, "DELETE", "k", 0, 1},
		{"POST without a key", nil, "POST", "", 400, 0},
		{"PUT without a key", nil, "PUT", "", 0, 2},
		{"DELETE without a key", nil, "DELETE", "", 0, 2},
		{"GET with a key", nil, "GET", "k", 0, 2},
		{"malformed", nil, "POST", "a b", 400, 0},
		{"malformed PUT", nil, "PUT", "a b", 400, 0},
		{"optional, without", optional, "POST", "", 0, 2},
		{"optional, with", optional, "POST", "k", 0, 1},
		{"optional, malformed", optional, "POST", "a b", 400, 0},
		{"other methods", []httpguard.Option{httpguard.WithMethods("MKCOL")}, "MKCOL", "", 400, 0},
		{"not among other methods, with a key", []httpguard.Option{httpguard.WithMethods("MKCOL")}, "POST", "k", 0, 1},
		{"not among other methods, without", []httpguard.Option{httpguard.WithMethods("MKCOL")}, "POST", "", 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var runs atomic.Int32
			server := serve(t, newMiddleware(t, newGuard(t), test.options...).Wrap(counting(&runs, created)))
			var last answer
			for range 2 {
				last = send(t, server, test.method, "/tips", test.key, "")
			}
			if runs.Load() != test.runs {
				t.Errorf("%d executions, want %d", runs.Load(), test.runs)
			}
			if want := max(test.status, http.StatusCreated*boolean(test.status == 0)); last.StatusCode != want {
				t.Errorf("status %d, want %d", last.StatusCode, want)
			}
			if test.status != 0 {
				wantProblem(t, last, "bad-key")
			}
		})
	}
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// wantProblem checks that an answer is problem details of the type.
func wantProblem(t *testing.T, a answer, kind string) {
	t.Helper()
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q, want application/problem+json", got)
	}
	var problem struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Status int    `json:"status"`
	}
	if err := json.Unmarshal([]byte(a.body), &problem); err != nil {
		t.Fatalf("%q: %v", a.body, err)
	}
	if !strings.HasSuffix(problem.Type, "#"+kind) {
		t.Errorf("type %q, want …#%s", problem.Type, kind)
	}
	if page, err := os.ReadFile("../../docs/wire.md"); err != nil || !strings.Contains(string(page), `<a id="`+kind+`">`) {
		t.Errorf("docs/wire.md does not explain %s (%v)", kind, err)
	}
	if problem.Status != a.StatusCode {
		t.Errorf("status member %d, want %d", problem.Status, a.StatusCode)
	}
	if problem.Title == "" || problem.Detail == "" {
		t.Errorf("%q says nothing", a.body)
	}
}

func TestWhatIsAnotherRequest(t *testing.T) {
	const multipartA = "--A\r\nContent-Disposition: form-data; name=\"cents\"\r\n\r\n%s\r\n--A--\r\n"
	multipartB := strings.ReplaceAll(multipartA, "--A", "--B")
	for _, test := range []struct {
		name           string
		first, second  string
		typeA, typeB   string
		pathB          string
		same, separate bool
	}{
		{name: "same bytes", first: "x", second: "x", same: true},
		{name: "other bytes", first: "x", second: "y"},
		{name: "JSON in another order", first: `{"a":1,"b":2}`, second: ` { "b":2.0, "a":1 }`, typeA: "application/json", same: true},
		{name: "problem JSON in another order", first: `{"a":1,"b":2}`, second: `{"b":2,"a":1}`, typeA: "application/vnd.shop+json; charset=utf-8", same: true},
		{name: "other JSON", first: `{"a":1}`, second: `{"a":2}`, typeA: "application/json"},
		{name: "broken JSON", first: `{"a":1`, second: `{"a":1`, typeA: "application/json", same: true},
		{name: "other broken JSON", first: `{"a":1`, second: `{"a":2`, typeA: "application/json"},
		{name: "form with another boundary", first: fmt.Sprintf(multipartA, "5"), second: fmt.Sprintf(multipartB, "5"),
			typeA: "multipart/form-data; boundary=A", typeB: "multipart/form-data; boundary=B", same: true},
		{name: "form with another value", first: fmt.Sprintf(multipartA, "5"), second: fmt.Sprintf(multipartB, "6"),
			typeA: "multipart/form-data; boundary=A", typeB: "multipart/form-data; boundary=B"},
		{name: "broken form", first: "--A\r\n", second: "--A\r\n", typeA: "multipart/form-data; boundary=A", same: true},
		{name: "other media type", first: "x", second: "x", typeA: "text/plain", typeB: "text/html"},
		{name: "other query", first: "x", second: "x", pathB: "/tips?dry=1"},
		{name: "other path", first: "x", second: "x", pathB: "/tips/9", separate: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var runs atomic.Int32
			server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, created)))
			send(t, server, "POST", "/tips", "k", test.first, "Content-Type", test.typeA)
			pathB, typeB := test.pathB, test.typeB
			if pathB == "" {
				pathB = "/tips"
			}
			if typeB == "" {
				typeB = test.typeA
			}
			second := send(t, server, "POST", pathB, "k", test.second, "Content-Type", typeB)
			if test.separate {
				if runs.Load() != 2 {
					t.Errorf("%d executions, want 2", runs.Load())
				}
				return
			}
			if runs.Load() != 1 {
				t.Errorf("%d executions, want 1", runs.Load())
			}
			if want := map[bool]int{true: 201, false: 422}[test.same]; second.StatusCode != want {
				t.Errorf("status %d, want %d: %s", second.StatusCode, want, second.body)
			}
			if !test.same {
				wantProblem(t, second, "key-used")
			}
		})
	}
}

// TestFormReadBefore: a middleware outside of this one may have read the body.
func TestFormReadBefore(t *testing.T) {
	var runs atomic.Int32
	guarded := newMiddleware(t, newGuard(t)).Wrap(counting(&runs, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.PostFormValue("cents"))
	}))
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.PostFormValue("csrf")
		guarded.ServeHTTP(w, r)
	}))
	const form = "application/x-www-form-urlencoded"
	if a := send(t, server, "POST", "/tips", "k", "cents=5", "Content-Type", form); a.body != "5" {
		t.Errorf("first: %q", a.body)
	}
	if a := send(t, server, "POST", "/tips", "k", "cents=5", "Content-Type", form); a.body != "5" || !a.replayed() {
		t.Errorf("second: %q, replayed %v", a.body, a.replayed())
	}
	if a := send(t, server, "POST", "/tips", "k", "cents=6", "Content-Type", form); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("another form: %d, want 422", a.StatusCode)
	}
}

func TestCallersDoNotMeet(t *testing.T) {
	var runs atomic.Int32
	caller := httpguard.WithCaller(func(r *http.Request) (string, error) {
		switch name := r.Header.Get("Authorization"); name {
		case "":
			return "", unauthorized{}
		case "broken":
			return "", errors.New("dial tcp 10.0.0.7: secret")
		default:
			return name, nil
		}
	})
	server := serve(t, newMiddleware(t, newGuard(t), caller).Wrap(counting(&runs, created)))
	for _, name := range []string{"ann", "bob", "ann"} {
		send(t, server, "POST", "/tips", "k", "x", "Authorization", name)
	}
	if runs.Load() != 2 {
		t.Errorf("%d executions, want one for each caller", runs.Load())
	}
	nobody := send(t, server, "POST", "/tips", "k", "x")
	if nobody.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", nobody.StatusCode)
	}
	broken := send(t, server, "POST", "/tips", "k", "x", "Authorization", "broken")
	if broken.StatusCode != http.StatusInternalServerError || strings.Contains(broken.body, "secret") {
		t.Errorf("%d %s", broken.StatusCode, broken.body)
	}
	if runs.Load() != 2 {
		t.Errorf("%d executions after callers that are none", runs.Load())
	}
}

type unauthorized struct{}

func (unauthorized) Error() string   { return "who are you?" }
func (unauthorized) StatusCode() int { return 401 }

// TestDuplicatesJoin: those that come while the handler runs wait for its response.
func TestDuplicatesJoin(t *testing.T) {
	const duplicates = 8
	var runs atomic.Int32
	release := make(chan struct{})
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, func(w http.ResponseWriter, r *http.Request) {
		<-release
		created(w, r)
	})))
	var group sync.WaitGroup
	var replays atomic.Int32
	for range duplicates {
		group.Go(func() {
			a, err := trySend(t, server, "POST", "/tips", "k", "x")
			if err != nil {
				t.Error(err)
				return
			}
			if a.StatusCode != http.StatusCreated || a.body != `{"echo":"x"}` {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if a.replayed() {
				replays.Add(1)
			}
		})
	}
	for runs.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	group.Wait()
	if runs.Load() != 1 || replays.Load() != duplicates-1 {
		t.Errorf("%d executions and %d replays, want 1 and %d", runs.Load(), replays.Load(), duplicates-1)
	}
}

// TestClientLeaves: the handler goes on, and the retry gets its response.
func TestClientLeaves(t *testing.T) {
	var runs atomic.Int32
	running, release := make(chan struct{}), make(chan struct{})
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, func(w http.ResponseWriter, r *http.Request) {
		close(running)
		<-release
		if err := r.Context().Err(); err != nil {
			t.Errorf("the handler's context ended with its client: %v", err)
		}
		created(w, r)
	})))
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/tips", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(idempotency.HeaderKey, "k")
	left := make(chan error)
	go func() {
		response, err := server.Client().Do(r)
		if err == nil {
			err = errors.Join(errors.New("it was answered"), response.Body.Close())
		}
		left <- err
	}()
	<-running
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(release)
	if a := send(t, server, "POST", "/tips", "k", "x"); a.StatusCode != http.StatusCreated || !a.replayed() {
		t.Errorf("the retry got %d, replayed %v", a.StatusCode, a.replayed())
	}
	if runs.Load() != 1 {
		t.Errorf("%d executions, want 1", runs.Load())
	}
}

func TestWaitIsRefused(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	server := serve(t, newMiddleware(t, newGuard(t, idempotency.WithMaxWait(0))).Wrap(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			close(running)
			<-release
			created(w, r)
		})))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := trySend(t, server, "POST", "/tips", "k", "x"); err != nil {
			t.Error(err)
		}
	}()
	<-running
	a := send(t, server, "POST", "/tips", "k", "x")
	close(release)
	<-done
	if a.StatusCode != http.StatusConflict || a.Header.Get("Retry-After") != "1" {
		t.Errorf("status %d, Retry-After %q, want 409 and 1", a.StatusCode, a.Header.Get("Retry-After"))
	}
	wantProblem(t, a, "running")
}

// TestForeignKey: a key that says that it was minted for another call.
func TestForeignKey(t *testing.T) {
	for calls, want := range map[string]int{
		"shop/POST /tips": 201, "shop//tips": 201, "bank/POST /tips": 400, "shop/POST /tipsy": 400,
	} {
		server := serve(t, newMiddleware(t, newGuard(t)).Wrap(http.HandlerFunc(created)))
		a := send(t, server, "POST", "/tips", "k", "x", idempotency.HeaderFor, calls)
		if a.StatusCode != want {
			t.Errorf("for %q: status %d, want %d", calls, a.StatusCode, want)
		}
	}
}

func TestTimesOfTheKey(t *testing.T) {
	for _, test := range []struct {
		header, value string
		want          int
		kind          string
	}{
		{idempotency.HeaderIssued, "2001-02-03T04:05:06Z", 412, "key-expired"},
		{idempotency.HeaderIssued, "now", 400, "bad-key"},
		{idempotency.HeaderSent, "now", 400, "bad-key"},
		{idempotency.HeaderSent, "2001-02-03T04:05:06Z", 201, ""},
	} {
		server := serve(t, newMiddleware(t, newGuard(t)).Wrap(http.HandlerFunc(created)))
		a := send(t, server, "POST", "/tips", "k", "x", test.header, test.value)
		if a.StatusCode != test.want {
			t.Errorf("%s %s: status %d, want %d", test.header, test.value, a.StatusCode, test.want)
		}
		if test.kind != "" {
			wantProblem(t, a, test.kind)
		}
	}
}

// TestLate: what was sent before an attempt that was released is refused, unless its
// sender says that it knows.
func TestLate(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(counting(&runs, func(w http.ResponseWriter, _ *http.Request) {
		if runs.Load() == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})))
	const before = "2001-02-03T04:05:06Z"
	send(t, server, "POST", "/tips", "k", "x")
	late := send(t, server, "POST", "/tips", "k", "x", idempotency.HeaderSent, before)
	if late.StatusCode != http.StatusConflict {
		t.Errorf("status %d, want 409", late.StatusCode)
	}
	wantProblem(t, late, "late")
	var problem struct {
		Released string `json:"released"`
	}
	if err := json.Unmarshal([]byte(late.body), &problem); err != nil {
		t.Fatal(err)
	}
	again := send(t, server, "POST", "/tips", "k", "x", idempotency.HeaderSent, before, idempotency.HeaderReleased, problem.Released)
	if again.StatusCode != http.StatusOK || runs.Load() != 2 {
		t.Errorf("status %d after %d executions, want 200 after 2: %s", again.StatusCode, runs.Load(), again.body)
	}
}

func TestBodyTooLarge(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, newMiddleware(t, newGuard(t), httpguard.WithMaxRequest(4)).Wrap(counting(&runs, created)))
	if a := send(t, server, "POST", "/tips", "k", "four"); a.StatusCode != http.StatusCreated {
		t.Errorf("status %d, want 201", a.StatusCode)
	}
	a := send(t, server, "POST", "/tips", "l", "fives")
	if a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", a.StatusCode)
	}
	wantProblem(t, a, "bad-body")
	unsized, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/tips", io.MultiReader(strings.NewReader("fives")))
	if err != nil {
		t.Fatal(err)
	}
	unsized.Header.Set(idempotency.HeaderKey, "m")
	response, err := server.Client().Do(unsized)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if response.StatusCode != http.StatusRequestEntityTooLarge || runs.Load() != 1 {
		t.Errorf("status %d, %d executions, want 413 and 1", response.StatusCode, runs.Load())
	}
}

// TestKeyInContext: calls that the handler makes get keys of their own.
func TestKeyInContext(t *testing.T) {
	server := serve(t, newMiddleware(t, newGuard(t)).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		execution, ok := idempotency.ExecutionFrom(r.Context())
		if !ok || execution.Key.Value != "k" {
			t.Errorf("execution %+v, %v", execution, ok)
		}
		key, done, err := idempotency.CallKey(r.Context(), "bank", "Bank.Pay", nil, nil)
		if err != nil {
			t.Error(err)
			return
		}
		done(false)
		fmt.Fprint(w, key.Value)
	})))
	if a := send(t, server, "POST", "/tips", "k", "x"); a.body == "" || a.body == "k" {
		t.Errorf("key %q", a.body)
	}
}

func TestNewRefuses(t *testing.T) {
	guard := newGuard(t)
	for _, test := range []struct {
		service string
		guard   *idempotency.Guard
		option  httpguard.Option
		want    string
	}{
		{"", guard, httpguard.WithOptional(), `service ""`},
		{"shop", nil, httpguard.WithOptional(), "guard nil"},
		{"shop", guard, nil, "option 0 is nil"},
		{"shop", guard, httpguard.WithMethods(), "must be given a method"},
		{"shop", guard, httpguard.WithMethods("post"), `WithMethods("post")`},
		{"shop", guard, httpguard.WithMethods("POST", "PSOT"), `WithMethods("PSOT"): must be methods that IANA has registered`},
		{"shop", guard, httpguard.WithMethods("GET"), `WithMethods("GET"): must be methods that change something`},
		{"shop", guard, httpguard.WithHeaders("Content Type"), `WithHeaders("Content Type"): must be names of headers`},
		{"shop", guard, httpguard.WithMaxRequest(0), "WithMaxRequest(0)"},
		{"shop", guard, httpguard.WithCaller(nil), "WithCaller"},
		{"shop", guard, httpguard.WithEndpoint(nil), "WithEndpoint"},
		{"shop", guard, httpguard.WithHeaders(""), "WithHeaders"},
		{"shop", guard, httpguard.WithMark(nil), "WithMark"},
	} {
		if _, err := httpguard.New(test.service, test.guard, test.option); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
}
