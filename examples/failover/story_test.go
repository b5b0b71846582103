package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// facts are what somebody tells of the story: how many calls there were, how many retries,
// how many calls a retry saved, and how many tips were paid.
type facts map[string]int

const (
	factCalls   = "calls"
	factRetries = "retries"
	factSaved   = "saved by a retry"
	factTips    = "tips paid"
)

// TestOneStory: of a kill, a freeze and duplicates the page, the spans, the metrics, the log
// and the operator's tool tell the same, as far as they tell of it.
func TestOneStory(t *testing.T) {
	for _, transport := range []string{transportMUCP, transportGRPC} {
		t.Run(transport, func(t *testing.T) {
			dir := t.TempDir()
			spans := filepath.Join(dir, "spans.json")
			t.Setenv("TRACES", spans)
			k, tips, lost := playStory(t, transport, dir)
			told := map[string]facts{
				"page":    pageFacts(t, k),
				"spans":   spanFacts(t, spans),
				"metrics": metricFacts(t, k, lost),
				"log":     logFacts(t, k),
				"tool":    toolFacts(t, dir, k),
			}
			want := maps.Clone(told["page"])
			want[factTips] = tips
			for who, facts := range told {
				for fact, n := range facts {
					if n != want[fact] {
						t.Errorf("%s: %d %s, want %d", who, n, fact, want[fact])
					}
				}
			}
			if want[factSaved] == 0 || want[factRetries] < want[factSaved] {
				t.Errorf("the story is none: %v", want)
			}
			if err := k.stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// playStory pays tips while an instance is killed and another is frozen, and pays some of
// them again. It returns how many there were, and the executions of which no metric tells
// any more.
func playStory(t *testing.T, transport, dir string) (k *cluster, tips, lost int) {
	t.Helper()
	if err := build(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	c := settings(t, "TRANSPORT="+transport)
	c.measured = true
	at, err := freePlaces(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	k, err = startCluster(t.Context(), c, arms()[0], at, dir, dir)
	t.Cleanup(func() {
		if err := k.end(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	l := newLoad(k.url, "story-", mix())
	defer l.client.CloseIdleConnections()
	victim, sleeper := k.instances[killed], k.instances[frozen]
	tips += pay(t, l, 40)
	lost = executedAt(t, victim)
	do(t, victim.kill())
	tips += pay(t, l, 40)
	do(t, sleeper.freeze())
	tips += pay(t, l, 16)
	do(t, sleeper.thaw())
	do(t, victim.start(t.Context()))
	tips += pay(t, l, 16)
	for n := range 4 { // what was paid is paid again, by somebody who did not hear of it
		if _, err := giveTip(t.Context(), l.client, k.url, fmt.Sprintf("story-%d", n*2+1), fmt.Sprintf("story-%d", n*2+1)); err != nil {
			t.Fatal(err)
		}
	}
	return k, tips, lost
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pay makes calls one after the other, half of them tips, and returns how many were.
func pay(t *testing.T, l *load, calls int) (tips int) {
	t.Helper()
	for range calls {
		c := l.call(t.Context(), l.next.Add(1)-1)
		do(t, c.err)
		if c.op == opTip {
			tips++
		}
	}
	return tips
}

// pageFacts are what the page's stream tells at first.
func pageFacts(t *testing.T, k *cluster) facts {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url+"/events", http.NoBody)
	do(t, err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	rsp, err := client.Do(req)
	do(t, err)
	defer rsp.Body.Close()
	var shown struct {
		Totals struct {
			Calls int `json:"calls"`
			Saved int `json:"saved_by_retry"`
		} `json:"totals"`
		Calls []struct {
			Attempts []struct{} `json:"attempts"`
		} `json:"calls"`
		Tips struct {
			Acknowledged int `json:"acknowledged"`
			Rows         int `json:"rows"`
		} `json:"tips"`
	}
	for lines := bufio.NewReader(rsp.Body); ; {
		line, err := lines.ReadString('\n')
		do(t, err)
		if data, found := strings.CutPrefix(line, "data: "); found {
			do(t, json.Unmarshal([]byte(data), &shown))
			break
		}
	}
	if shown.Tips.Acknowledged != shown.Tips.Rows {
		t.Errorf("page: %d tips were acknowledged, and %d are in the ledger", shown.Tips.Acknowledged, shown.Tips.Rows)
	}
	told := facts{factCalls: shown.Totals.Calls, factSaved: shown.Totals.Saved, factTips: shown.Tips.Rows}
	for _, call := range shown.Calls {
		told[factRetries] += len(call.Attempts) - 1
	}
	if len(shown.Calls) != shown.Totals.Calls {
		t.Fatalf("the page remembers %d of %d calls", len(shown.Calls), shown.Totals.Calls)
	}
	return told
}

// spanFacts are what the spans of all processes tell.
func spanFacts(t *testing.T, path string) facts {
	t.Helper()
	file, err := os.Open(path)
	do(t, err)
	defer file.Close()
	told := make(facts)
	for lines := json.NewDecoder(file); lines.More(); {
		var span struct {
			Name       string `json:"name"`
			Attributes []struct {
				Key   string `json:"key"`
				Value struct {
					Value any `json:"value"`
				} `json:"value"`
			} `json:"attributes"`
		}
		do(t, lines.Decode(&span))
		is := make(map[string]string)
		for _, a := range span.Attributes {
			is[a.Key] = fmt.Sprint(a.Value.Value)
		}
		previous, isAttempt := is["previous-rpc-attempts"], strings.HasPrefix(span.Name, "Attempt.")
		switch {
		case isAttempt && previous != "0":
			told[factRetries]++
		case is["oncemore.attempts"] != "":
			told[factCalls]++
			if is["oncemore.by"] == "retry" {
				told[factSaved]++
			}
		case is["oncemore.outcome"] == "executed":
			told[factTips]++
		}
	}
	return told
}

// metricFacts are what user-api's metrics and those of the instances tell, and what one had
// told before it was killed.
func metricFacts(t *testing.T, k *cluster, lost int) facts {
	t.Helper()
	told := facts{
		factCalls:   metric(t, k.url, "rpc_client_call_duration_seconds_count", ""),
		factRetries: metric(t, k.url, "oncemore_client_decisions_total", `oncemore_retry="true"`),
		factSaved:   metric(t, k.url, "oncemore_client_saved_total", `oncemore_by="retry"`),
		factTips:    lost,
	}
	for _, instance := range k.instances {
		told[factTips] += executedAt(t, instance)
	}
	return told
}

func executedAt(t *testing.T, instance *process) int {
	t.Helper()
	return metric(t, "http://"+instance.metrics, "oncemore_server_requests_total", `oncemore_outcome="executed"`)
}

// metric sums the lines of a metric that have a label.
func metric(t *testing.T, url, name, label string) int {
	t.Helper()
	text, err := look(t.Context(), url+"/metrics")
	do(t, err)
	sum := 0.0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name+"{") && strings.Contains(line, label) {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			do(t, err)
			sum += value
		}
	}
	return int(sum)
}

// logFacts are what user-api's log tells.
func logFacts(t *testing.T, k *cluster) facts {
	t.Helper()
	text, err := os.ReadFile(k.api.logPath)
	do(t, err)
	transfers := make(map[string]bool)
	for _, found := range regexp.MustCompile(`msg=tip transfer=(\S+)`).FindAllStringSubmatch(string(text), -1) {
		transfers[found[1]] = true
	}
	return facts{
		factRetries: strings.Count(string(text), `msg="attempt failed, trying again"`),
		factTips:    len(transfers),
	}
}

// toolFacts are what the operator's tool tells of the store.
func toolFacts(t *testing.T, dir string, k *cluster) facts {
	t.Helper()
	tool := filepath.Join(dir, "oncemore")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", tool, ".")
	build.Dir = filepath.Join("..", "..", "cmd", "oncemore")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	list := exec.CommandContext(ctx, tool, "list", "--store", k.ledger.Environment(), "--state", "done", "--limit", "0", "--json")
	output, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", list.Args, err, output)
	}
	return facts{factTips: strings.Count(string(output), "\n")}
}
