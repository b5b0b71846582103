package ginonce_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/examples/recipes/ginonce"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newGuarded(t *testing.T) *httpguard.Middleware {
	t.Helper()
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	guard, err := idempotency.New(store)
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := httpguard.New("shop", guard)
	if err != nil {
		t.Fatal(err)
	}
	return guarded
}

// newEngine returns an engine with two handlers for each route, as most have.
func newEngine(runs *atomic.Int32, guarded ...gin.HandlerFunc) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.Recovery())
	count := func(c *gin.Context) { runs.Add(1) }
	add := func(path string, handler gin.HandlerFunc) {
		engine.POST(path, append(append([]gin.HandlerFunc{}, guarded...), count, handler)...)
	}
	add("/json/:student", func(c *gin.Context) {
		var body struct{ Cents int }
		if err := c.ShouldBindJSON(&body); err != nil {
			c.AbortWithStatusJSON(http.StatusBadRequest, gin.H{"error": err.Error()})
			return
		}
		c.JSON(http.StatusCreated, gin.H{"student": c.Param("student"), "cents": body.Cents})
	})
	add("/status", func(c *gin.Context) { c.Status(http.StatusNoContent) })
	add("/nothing", func(*gin.Context) {})
	add("/text", func(c *gin.Context) { c.String(http.StatusPaymentRequired, "no money") })
	add("/redirect", func(c *gin.Context) { c.Redirect(http.StatusSeeOther, "/elsewhere") })
	add("/stream", func(c *gin.Context) {
		left := 3
		c.Stream(func(w io.Writer) bool {
			left--
			_, err := io.WriteString(w, "x")
			return err == nil && left > 0
		})
	})
	add("/panic", func(*gin.Context) { panic("secret") })
	return engine
}

func newRouter(runs *atomic.Int32, guarded *httpguard.Middleware) http.Handler {
	router := chi.NewRouter()
	router.Use(middleware.RequestID, middleware.Recoverer)
	router.Group(func(router chi.Router) {
		router.Use(guarded.Wrap)
		add := func(path string, handler http.HandlerFunc) {
			router.Post(path, func(w http.ResponseWriter, r *http.Request) { runs.Add(1); handler(w, r) })
		}
		add("/json/{student}", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"cents":5,"student":%q}`, chi.URLParam(r, "student"))
		})
		add("/status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		add("/nothing", func(http.ResponseWriter, *http.Request) {})
		add("/text", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusPaymentRequired)
			fmt.Fprint(w, "no money")
		})
		add("/redirect", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusSeeOther)
		})
		add("/stream", func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				fmt.Fprint(w, "x")
				if err := http.NewResponseController(w).Flush(); err != nil {
					return // the test sees that the body is short
				}
			}
		})
		add("/panic", func(http.ResponseWriter, *http.Request) { panic("secret") })
	})
	return router
}

// TestFrameworks: a route runs once, and its response comes back, whichever way the
// framework is guarded.
func TestFrameworks(t *testing.T) {
	for name, build := range map[string]func(*testing.T, *atomic.Int32) http.Handler{
		"gin, one route": func(t *testing.T, runs *atomic.Int32) http.Handler {
			return newEngine(runs, ginonce.Middleware(newGuarded(t)))
		},
		"gin, all of it": func(t *testing.T, runs *atomic.Int32) http.Handler { return newGuarded(t).Wrap(newEngine(runs)) },
		"chi":            func(t *testing.T, runs *atomic.Int32) http.Handler { return newRouter(runs, newGuarded(t)) },
	} {
		for _, test := range []struct {
			path          string
			first, second int
			body          string
			location      string
		}{
			{"/json/ann", 201, 201, `{"cents":5,"student":"ann"}`, ""},
			{"/status", 204, 204, "", ""},
			{"/nothing", 200, 200, "", ""},
			{"/text", 402, 402, "no money", ""},
			{"/redirect", 303, 303, "", "/elsewhere"},
			{"/stream", 200, 410, "xxx", ""},
			{"/panic", 500, 500, "", ""},
		} {
			t.Run(name+test.path, func(t *testing.T) {
				var runs atomic.Int32
				server := httptest.NewServer(build(t, &runs))
				t.Cleanup(func() { server.Client().CloseIdleConnections(); server.Close() })
				server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				for i, want := range []int{test.first, test.second} {
					status, header, body := post(t, server, test.path)
					if status != want {
						t.Errorf("request %d: status %d, want %d: %s", i+1, status, want, body)
					}
					if want < 500 && want != 410 && body != test.body {
						t.Errorf("request %d: body %q, want %q", i+1, body, test.body)
					}
					if strings.Contains(body, "secret") {
						t.Errorf("request %d: body %q", i+1, body)
					}
					if got := header.Get("Location"); got != test.location {
						t.Errorf("request %d: location %q, want %q", i+1, got, test.location)
					}
					if replayed := header.Get("Idempotent-Replayed") == "true"; replayed != (i == 1) {
						t.Errorf("request %d: replayed %v", i+1, replayed)
					}
				}
				if runs.Load() != 1 {
					t.Errorf("%d executions, want 1", runs.Load())
				}
			})
		}
	}
}

func post(t *testing.T, server *httptest.Server, path string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader(`{"cents":5}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "k")
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return response.StatusCode, response.Header, string(body)
}
