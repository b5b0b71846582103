package dashboards

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds each wait: it is far above what any takes on a busy machine.
const patience = 90 * time.Second

// TestQueries: in a Prometheus that has watched instances and the store die, each panel's
// query finds data, each alert that is due is pending, and each name that they use is there.
func TestQueries(t *testing.T) {
	shop := openShop(t)
	p := startPrometheus(t, shop.jobs)
	shop.crowd(t)
	panels := readBoard(t)
	w := &watch{prometheus: p, missing: panels.queries()}
	w.await(t, "all is well", "Requests by outcome")

	shop.hello[0].Kill()
	w.await(t, "an instance is dead", "Who is ejected, and since when", "Retries by class and reason", "Saved by a retry or a hedge")
	w.until(t, "an instance is dead", `ALERTS{alertname="OncemoreInstanceEjected", server_address="`+shop.nodes[0]+`"}`)
	shop.hello[0].Restart()
	w.until(t, "it is back", `max(oncemore_client_circuit_state) == 0`)

	shop.hello[0].Kill()
	shop.hello[1].Kill()
	w.await(t, "both are dead", "Budget was empty", "Ambiguous calls")
	w.until(t, "both are dead", `ALERTS{alertname="OncemoreRetryBudgetEmpty", oncemore_service="hello-srv"}`)
	shop.hello[0].Restart()
	shop.hello[1].Restart()
	w.until(t, "both are back", `max(oncemore_client_circuit_state) == 0`)

	shop.store.Kill()
	w.await(t, "the store is dead", "Store failures")
	w.until(t, "the store is dead", `ALERTS{alertname="OncemoreStoreFailing", job="hello-srv"}`)
	shop.store.Restart()
	w.await(t, "all is well again")

	t.Run("rules", p.testRules)
	t.Run("variables", func(t *testing.T) { panels.testVariables(t, p) })
	t.Run("names", p.testNames)
}

// neverStale: the instances of the examples are in a registry in memory, which cannot be
// down, so that nothing tells of it. The queries are good; they find nothing.
const (
	neverStale       = "Stale snapshots"
	neverStaleMetric = "oncemore_client_snapshot_stale"
)

// board is what of a dashboard of Grafana's matters here.
type board struct {
	Panels []struct {
		ID    int    `json:"id"`
		Title string `json:"title"`
		Place struct {
			X int `json:"x"`
			Y int `json:"y"`
			W int `json:"w"`
			H int `json:"h"`
		} `json:"gridPos"` //nolint:tagliatelle // Grafana's name
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
	Templating struct {
		List []struct {
			Name  string          `json:"name"`
			Type  string          `json:"type"`
			Query json.RawMessage `json:"query"`
		} `json:"list"`
	} `json:"templating"`
}

func readBoard(t *testing.T) (d board) {
	t.Helper()
	must(t, json.Unmarshal([]byte(read(t, shipped+"oncemore.json")), &d))
	return d
}

// asked is what Grafana makes of the dashboard's variables for "all".
var asked = strings.NewReplacer("$service", ".*", "$method", ".*", "$__rate_interval", "1m")

// queries are those of each panel, by its title.
func (d board) queries() map[string][]string {
	queries := make(map[string][]string)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries[panel.Title] = append(queries[panel.Title], asked.Replace(target.Expr))
		}
	}
	return queries
}

// watch knows the queries that have found nothing yet.
type watch struct {
	prometheus prometheus
	missing    map[string][]string
}

// await asks until every query of the panels has found something since the watch began; of
// all panels if none is named.
func (w *watch) await(t *testing.T, when string, titles ...string) {
	t.Helper()
	if len(titles) == 0 {
		titles = slices.DeleteFunc(slices.Collect(maps.Keys(w.missing)), func(title string) bool { return title == neverStale })
	}
	eventually(t, func(ctx context.Context) bool {
		must(t, w.look(ctx))
		return !slices.ContainsFunc(titles, func(title string) bool { return len(w.missing[title]) > 0 })
	})
	for _, title := range titles {
		for _, query := range w.missing[title] {
			t.Errorf("%s: panel %q finds nothing: %s", when, title, query)
		}
	}
}

// until asks until a query of the test's own has found something.
func (w *watch) until(t *testing.T, when, query string) {
	t.Helper()
	found := eventually(t, func(ctx context.Context) bool {
		must(t, w.look(ctx))
		samples, err := w.prometheus.query(ctx, query)
		must(t, err)
		return len(samples) > 0
	})
	if !found {
		t.Errorf("%s: nothing is found by %s", when, query)
	}
}

// look runs what has found nothing yet. An error is one of the query's own.
func (w *watch) look(ctx context.Context) error {
	for title, queries := range w.missing {
		var still []string
		for _, query := range queries {
			found, err := w.prometheus.query(ctx, query)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(found, sample.number) {
				still = append(still, query)
			}
		}
		w.missing[title] = still
	}
	return nil
}

// eventually calls done until it says so, or patience is over.
func eventually(t *testing.T, done func(context.Context) bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if done(t.Context()) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// testRules: each is evaluated, by itself and when it is asked for.
func (p prometheus) testRules(t *testing.T) {
	var loaded struct {
		Groups []struct {
			Rules []struct {
				Name   string `json:"name"`
				Query  string `json:"query"`
				Health string `json:"health"`
			} `json:"rules"`
		} `json:"groups"`
	}
	must(t, p.ask(t.Context(), "/api/v1/rules", nil, &loaded))
	var names []string
	for _, group := range loaded.Groups {
		for _, rule := range group.Rules {
			names = append(names, rule.Name)
			if rule.Health != "ok" {
				t.Errorf("%s is %s", rule.Name, rule.Health)
			}
			if _, err := p.query(t.Context(), rule.Query); err != nil {
				t.Errorf("%s: %v", rule.Name, err)
			}
		}
	}
	if want := alertNames(t); !slices.Equal(names, want) {
		t.Errorf("loaded %v, want %v", names, want)
	}
}

// testVariables: there is a service, and a method, to choose.
func (d board) testVariables(t *testing.T, p prometheus) {
	values := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	seen := 0
	for _, variable := range d.Templating.List {
		if variable.Type != "query" {
			continue
		}
		seen++
		var query struct {
			Query string `json:"query"`
		}
		must(t, json.Unmarshal(variable.Query, &query))
		parts := values.FindStringSubmatch(asked.Replace(query.Query))
		if parts == nil {
			t.Fatalf("%s: %s", variable.Name, query.Query)
		}
		var choice []string
		must(t, p.ask(t.Context(), "/api/v1/label/"+parts[2]+"/values", url.Values{"match[]": {parts[1]}}, &choice))
		if !slices.ContainsFunc(choice, func(s string) bool { return strings.HasPrefix(s, "hello-srv/") }) {
			t.Errorf("%s: %v has nothing of hello-srv", variable.Name, choice)
		}
	}
	if seen != 2 {
		t.Errorf("%d variables, want service and method", seen)
	}
}

// testNames: what the rules and the panels call metrics and labels, the examples do, too.
func (p prometheus) testNames(t *testing.T) {
	texts := []string{read(t, shipped+"alerts_test.yml")}
	for _, file := range []string{"alerts.yml", "oncemore.json"} {
		texts = append(texts, read(t, shipped+file))
	}
	metric := regexp.MustCompile(`^(?:oncemore|rpc)_(?:client|server)_`)
	var metrics, labels []string
	must(t, p.ask(t.Context(), "/api/v1/label/__name__/values", nil, &metrics))
	must(t, p.ask(t.Context(), "/api/v1/labels", nil, &labels))
	names := regexp.MustCompile(`\b(?:oncemore_|rpc_|server_address|error_type)\w*`).FindAllString(strings.Join(texts, "\n"), -1)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		switch {
		case strings.HasSuffix(name, "_"): // the beginning of several
		case metric.MatchString(name):
			if name != neverStaleMetric && !slices.Contains(metrics, name) {
				t.Errorf("there is no metric %s", name)
			}
		case !slices.Contains(labels, name):
			t.Errorf("there is no label %s", name)
		}
	}
}
