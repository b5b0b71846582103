// Package page shows in a browser what oncemore does for user-api, while it does it: the
// instances and their circuits, the latency, the story of each call, and whether the
// ledger holds every tip once.
package page

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/internal/control"
	"github.com/oncemore-dev/oncemore/wrapper"
)

//go:embed index.html *.css *.js *.svg vendor
var assets embed.FS

// How old what others say may be, and how long they have to say it.
const (
	fleetAge, fleetTime = 300 * time.Millisecond, time.Second
	auditAge, auditTime = time.Second, 2 * time.Second
)

// policy lets the page load, run, send and be framed nothing but what is served here.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// Config is what a Page shows.
type Config struct {
	// Nodes are the instances of hello-srv, if they are known beforehand.
	Nodes []string
	// Observed tells whether the page observes a client that oncemore wraps.
	Observed bool
	// Ledger is hello-srv's, whose owner closes it after the page; nil if it cannot be read.
	Ledger *ledger.Ledger
	// Control is the runner's; nil gives a page without buttons, and without a way to
	// press them.
	Control *control.Client
	// Token returns a fresh token for a tip form, and when it expires. It is required.
	Token func() (token string, expires time.Time)
}

// Page is a page and what it shows. Make one with New; Close it in the end. It is safe
// for concurrent use.
type Page struct {
	nodes    []string
	observed bool
	ledger   *ledger.Ledger
	control  *control.Client
	token    func() (string, time.Time)
	index    *template.Template

	history      *history
	acknowledged acknowledged
	fleet        lookup[control.Report]
	audit        lookup[tips]

	streams atomic.Int32
	close   sync.Once
	closed  chan struct{}
}

// New makes a page.
func New(c Config) (*Page, error) {
	index, err := template.ParseFS(assets, "index.html")
	if err != nil {
		return nil, err
	}
	return &Page{
		nodes: c.Nodes, observed: c.Observed, ledger: c.Ledger, control: c.Control, token: c.Token, index: index,
		history: newHistory(),
		fleet:   lookup[control.Report]{maxAge: fleetAge, timeout: fleetTime},
		audit:   lookup[tips]{maxAge: auditAge, timeout: auditTime},
		closed:  make(chan struct{}),
	}, nil
}

// Observer is what oncemore is to tell.
func (p *Page) Observer() wrapper.Observer { return p.history }

// Acknowledge tells the page that a tip with this key was answered with success.
func (p *Page) Acknowledge(key string) { p.acknowledged.add(key) }

// Close ends the streams.
func (p *Page) Close() { p.close.Do(func() { close(p.closed) }) }

// Routes are the patterns of what Handler answers.
func (p *Page) Routes() []string {
	routes := []string{"GET /{$}", "GET /events", "GET /page/{file...}"}
	if p.control != nil {
		routes = append(routes, "POST /control/{instance}/{action}")
	}
	return routes
}

// Handler answers all of the page's routes.
func (p *Page) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("GET /events", p.stream)
	mux.Handle("GET /page/{file...}", http.StripPrefix("/page", onlyFiles(http.FileServerFS(assets))))
	if p.control != nil {
		mux.HandleFunc("POST /control/{instance}/{action}", p.press)
	}
	return mux
}

// show is GET /: the page, with a form that pays once however often it is submitted.
func (p *Page) show(w http.ResponseWriter, _ *http.Request) {
	token, expires := p.token()
	var body bytes.Buffer
	err := p.index.Execute(&body, struct {
		Token string
		Until string
	}{token, expires.Format("15:04")})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private") // for the one who goes back to it
	_, _ = w.Write(body.Bytes())      // nobody is left to be told
}

// onlyFiles answers with no lists of folders, and not with the page's template.
func onlyFiles(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := r.URL.Path; path == "" || path[len(path)-1] == '/' || path == "/index.html" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})
}
