package dashboards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/internal/proctest"
)

// prometheus is one that runs, with our rules.
type prometheus struct{ url string }

// startPrometheus has one scrape the addresses of each job, far more often than is usual,
// so that nobody waits for it.
func startPrometheus(t *testing.T, jobs map[string][]string) prometheus {
	t.Helper()
	rules, err := filepath.Abs(shipped + "alerts.yml")
	must(t, err)
	var config strings.Builder
	fmt.Fprintf(&config, "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\nrule_files: [%q]\nscrape_configs:\n", rules)
	for job, addresses := range jobs {
		fmt.Fprintf(&config, "  - {job_name: %s, static_configs: [{targets: [%s]}]}\n", job, strings.Join(addresses, ", "))
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config.String()), 0o600))
	address := proctest.Address(proctest.ReservePort(t))
	p := prometheus{"http://" + address}
	proctest.Start(t, proctest.Command{
		Name: "prometheus", Path: installed(t, "prometheus"), Dir: dir,
		Args: []string{
			"--config.file=prometheus.yml", "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address,
			"--log.level=warn",
		},
		Ready: func(ctx context.Context) error { _, err := p.get(ctx, "/-/ready", nil); return err },
	})
	return p
}

// sample is one series that a query found.
type sample struct {
	Metric map[string]string  `json:"metric"`
	Value  [2]json.RawMessage `json:"value"`
}

// number tells whether the sample's value is one: a quantile of nothing is none.
func (s sample) number() bool { return string(s.Value[1]) != `"NaN"` }

// query runs a query for this moment.
func (p prometheus) query(ctx context.Context, expression string) (found []sample, err error) {
	var result struct {
		Samples []sample `json:"result"`
	}
	err = p.ask(ctx, "/api/v1/query", url.Values{"query": {expression}}, &result)
	return result.Samples, err
}

// ask reads the data of an answer of Prometheus' API.
func (p prometheus) ask(ctx context.Context, path string, query url.Values, data any) error {
	body, err := p.get(ctx, path, query)
	if err != nil {
		return err
	}
	var answer struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	return json.Unmarshal(answer.Data, data)
}

func (p prometheus) get(ctx context.Context, path string, query url.Values) (body []byte, err error) {
	status, body, err := send(ctx, http.MethodGet, p.url+path+"?"+query.Encode(), "", "")
	if err == nil && status != http.StatusOK {
		err = errors.New(string(body))
	}
	return body, err
}
