package main

import (
	"strings"
	"testing"
)

const text = `# 2 cores, linux/amd64, go1.26.0
goos: linux
cpu: a CPU
BenchmarkStack/wire=stub/stack=bare-2  10  300 ns/op  2 above-bare-ns/op  232 p50-ns/op  272 B/op  5 allocs/op
BenchmarkStack/wire=stub/stack=ours-2  10  900 ns/op  500 above-bare-ns/op  732 p50-ns/op  300 B/op  8 allocs/op
BenchmarkStack/wire=stub/stack=ours-2  10  950 ns/op  700 above-bare-ns/op  932 p50-ns/op  300 B/op  8 allocs/op
BenchmarkStack/wire=stub/stack=ours-2  10  990 ns/op  600 above-bare-ns/op  832 p50-ns/op  300 B/op  8 allocs/op
cpu: a CPU
BenchmarkLoopback/transport=mucp  2  1 ns/op  105000 bus-p50-ns  1.0396 bus-ratio  101000 control-p50-ns  1.010 control-ratio  100000 bare-p50-ns
BenchmarkFailed
PASS
`

//nolint:dupword // two columns have the same heading: above bare, and so has the arm below them
const want = `2 cores, linux/amd64, go1.26.0
cpu: a CPU

Stack/wire=stub
        ns/op  above bare  allocs/op  above bare
  bare    232          +2          5          +0
  ours    832        +600          8          +3

Loopback/transport=mucp
           p50 µs  ratio
     bare   100.0
  control   101.0  1.010
      bus   105.0  1.040
`

func TestTables(t *testing.T) {
	var out strings.Builder
	if err := run(false, strings.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	if got := trimLines(out.String()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func TestBrokenText(t *testing.T) {
	err := run(false, strings.NewReader("BenchmarkX-2 10 many ns/op\n"), new(strings.Builder))
	if err == nil || !strings.Contains(err.Error(), `"BenchmarkX-2 10 many ns/op"`) {
		t.Errorf("error %v does not name the line", err)
	}
}

func TestMachine(t *testing.T) {
	var out strings.Builder
	if err := run(true, nil, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), " cores, ") || !strings.HasPrefix(out.String(), "# ") {
		t.Errorf("got %q", out.String())
	}
}
