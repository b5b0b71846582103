package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// confirmation finds the word in what a dry run says.
var confirmation = regexp.MustCompile(`--confirm ([0-9a-f]+)`)

func wordIn(t *testing.T, text string) string {
	t.Helper()
	match := confirmation.FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("%q says no word", text)
	}
	return match[1]
}

// TestSettle: on each store an execution whose process was killed is found, and
// settled, by any of the decisions, and only after it was confirmed.
func TestSettle(t *testing.T) {
	answer := filepath.Join(t.TempDir(), "answer.json")
	if err := os.WriteFile(answer, []byte(`{"transfer":"t-1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	unresolved := idempotency.Record{
		Content: idempotency.ContentError, Err: &idempotency.RecordedError{ID: "shop", Code: 402, Detail: "no money"},
	}.Encode()
	record := filepath.Join(t.TempDir(), "record.txt")
	if err := os.WriteFile(record, []byte(base64.StdEncoding.EncodeToString(unresolved)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, start := range backends(t) {
		for _, test := range []struct {
			name string
			args []string
			runs int
			err  error
			code int32
		}{
			{"executed", []string{"resolve", "--executed", "--reason", "the ledger has it"}, 0, idempotency.ErrNoReply, 0},
			{"with its reply", []string{"resolve", "--executed", "--reply", answer}, 0, nil, 0},
			{"with its record", []string{"resolve", "--executed", "--record", record}, 0, nil, 402},
			{"not executed", []string{"resolve", "--not-executed"}, 1, nil, 0},
			{"forgotten", []string{"forget"}, 1, nil, 0},
		} {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				value := start(t)
				startWork(t, value, lease).Kill()
				awaitOrphan(t, value)
				if _, err := repeat(t, value); !errors.Is(err, idempotency.ErrOutcomeUnknown) {
					t.Errorf("before: %v, want %v", err, idempotency.ErrOutcomeUnknown)
				}
				args := slices.Concat(test.args, []string{scope().StoreKey().String()})
				told := mustDo(t, value, args...)
				if _, err := repeat(t, value); !errors.Is(err, idempotency.ErrOutcomeUnknown) {
					t.Errorf("after a dry run: %v, want %v", err, idempotency.ErrOutcomeUnknown)
				}
				if wrong := command(t, value, append(args, "--confirm", "0123456789ab")...); wrong.status != exitChanged {
					t.Errorf("a wrong word: status %d, %s", wrong.status, wrong.stderr)
				}
				mustDo(t, value, append(args, "--confirm", wordIn(t, told))...)
				runs, err := repeat(t, value)
				if runs != test.runs {
					t.Errorf("%d executions afterwards, want %d", runs, test.runs)
				}
				recorded, _ := errors.AsType[*idempotency.RecordedError](err)
				switch {
				case test.code != 0 && (recorded == nil || recorded.Code != test.code):
					t.Errorf("answered %v, want code %d", err, test.code)
				case test.code == 0 && !errors.Is(err, test.err):
					t.Errorf("answered %v, want %v", err, test.err)
				}
				if again := command(t, value, append(args, "--confirm", wordIn(t, told))...); again.status != exitChanged {
					t.Errorf("the same word again: status %d, %s", again.status, again.stderr)
				}
			})
		}
	}
}

// TestWordIsForOneDecision: what confirms one does not confirm another.
func TestWordIsForOneDecision(t *testing.T) {
	value := newSQLite(t)
	startWork(t, value, lease).Kill()
	awaitOrphan(t, value)
	key := scope().StoreKey().String()
	word := wordIn(t, mustDo(t, value, "resolve", "--not-executed", key))
	for _, other := range [][]string{
		{"resolve", "--executed", key}, {"forget", key}, {"resolve", "--not-executed", "--force", key},
		{"resolve", "--executed", "--reason", "not executed", key},
	} {
		if d := command(t, value, append(other, "--confirm", word)...); d.status != exitChanged {
			t.Errorf("%v: status %d, %s", other, d.status, d.stdout)
		}
	}
}

// TestLive: what still runs is left alone, unless by force.
func TestLive(t *testing.T) {
	value := newSQLite(t)
	startWork(t, value, longLease)
	key := scope().StoreKey().String()
	if d := command(t, value, "forget", key); d.status != exitChanged || !strings.Contains(d.stderr, "--force") {
		t.Errorf("status %d, %s", d.status, d.stderr)
	}
	word := wordIn(t, mustDo(t, value, "resolve", "--executed", "--force", key))
	mustDo(t, value, "resolve", "--executed", "--force", "--confirm", word, key)
	if runs, err := repeat(t, value); runs != 0 || !errors.Is(err, idempotency.ErrNoReply) {
		t.Errorf("%d executions, %v", runs, err)
	}
}

func TestListAndShow(t *testing.T) {
	value := newSQLite(t)
	if got := mustDo(t, value, "list", "--state", "all"); !strings.Contains(got, "there is none") {
		t.Errorf("of an empty store: %q", got)
	}
	startWork(t, value, lease).Kill()
	awaitOrphan(t, value)
	key := scope().StoreKey().String()
	for _, args := range [][]string{
		{"list"}, {"list", "--state", "unresolved"}, {"list", "--state", "all"}, {"list", "--service", "shop", "--endpoint", "POST /tips"},
		{"list", "--caller", "ann", "--key", "order-7", "--older-than", "1ms"},
		{"show", key}, {"show", "--service", "shop", "--endpoint", "POST /tips", "--caller", "ann", "--key", `"order-7"`},
	} {
		got := mustDo(t, value, args...)
		for _, want := range []string{"orphaned", "shop", "POST /tips", "ann", "order-7", "shop-1", key} {
			if !strings.Contains(got, want) {
				t.Errorf("oncemore %s does not say %q:\n%s", strings.Join(args, " "), want, got)
			}
		}
	}
	for _, args := range [][]string{
		{"list", "--state", "done"}, {"list", "--state", "running"}, {"list", "--service", "bank"}, {"list", "--older-than", "1h"},
	} {
		if got := mustDo(t, value, args...); strings.Contains(got, key) {
			t.Errorf("oncemore %s says:\n%s", strings.Join(args, " "), got)
		}
	}
	for _, args := range [][]string{{"list", "--json"}, {"show", "--json", key}} {
		var o object
		if err := json.Unmarshal([]byte(mustDo(t, value, args...)), &o); err != nil {
			t.Fatal(err)
		}
		if o.StoreKey != key || o.State != "orphaned" || o.Caller != "ann" || o.ClaimedAt.IsZero() || o.LeaseUntil.IsZero() {
			t.Errorf("oncemore %s: %+v", strings.Join(args, " "), o)
		}
	}
}

// TestRepliesArePrivate: they are shown to who asks for them.
func TestRepliesArePrivate(t *testing.T) {
	value := newSQLite(t)
	answer := filepath.Join(t.TempDir(), "answer.json")
	if err := os.WriteFile(answer, []byte(`{"card":"4711"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	startWork(t, value, lease).Kill()
	awaitOrphan(t, value)
	args := []string{"resolve", "--executed", "--reply", answer, scope().StoreKey().String()}
	mustDo(t, value, append(args, "--confirm", wordIn(t, mustDo(t, value, args...)))...)
	for _, format := range [][]string{{"show"}, {"show", "--json"}} {
		show := slices.Concat(format, []string{scope().StoreKey().String()})
		if got := mustDo(t, value, show...); strings.Contains(got, "4711") || !strings.Contains(got, "json") {
			t.Errorf("%v says %s", format, got)
		}
		if got := mustDo(t, value, append(show, "--reply")...); !strings.Contains(got, "4711") {
			t.Errorf("%v --reply says %s", format, got)
		}
	}
	if got := mustDo(t, value, "list", "--state", "done", "--json"); strings.Contains(got, "4711") {
		t.Errorf("list says %s", got)
	}
}

func TestUsage(t *testing.T) {
	value := newSQLite(t)
	key := scope().StoreKey().String()
	for _, args := range [][]string{
		{"frob"}, {"list", "--bogus"}, {"list", "x"}, {"list", "--state", "stuck"}, {"list", "--limit", "-1"},
		{"show"}, {"show", "zz"}, {"show", key, key}, {"show", "--key", "k", key}, {"show", "--service", "shop", "--key", "k"},
		{"show", "--service", "shop", "--endpoint", "e", "--key", "a b"},
		{"resolve", key}, {"resolve", "--executed", "--not-executed", key}, {"resolve", "--not-executed", "--reason", "x", key},
		{"resolve", "--executed", "--reply", "a", "--record", "b", key}, {"--retention", "-1s", "list"},
		{"--schema", "x", "list"},
	} {
		if d := command(t, value, args...); d.status != exitUsage || d.stderr == "" {
			t.Errorf("oncemore %s: status %d, %q", strings.Join(args, " "), d.status, d.stderr)
		}
	}
	for _, wrong := range []string{
		"", "memory:", "sqlite:", "sqlite:a?mode=memory", "mysql://h", "postgres://:secret@h", "etcd://u:secret@h",
		"redis:", "redis://:12#secret@h", "redis://h/secret", "rediss://u:secret@h:6379/0?pool_size=many",
	} {
		d := command(t, wrong, "list")
		if d.status != exitUsage || strings.Contains(d.stderr, "secret") {
			t.Errorf("--store %q: status %d, %q", wrong, d.status, d.stderr)
		}
	}
	if d := command(t, value, "show", key); d.status != exitFailure || !strings.Contains(d.stderr, "holds nothing") {
		t.Errorf("of an unknown key: status %d, %q", d.status, d.stderr)
	}
}

// wrongFlags has for each flag what nobody can mean by it, and what the tool is to say.
func wrongFlags(t *testing.T, key string) map[string][]wrongFlag {
	t.Helper()
	missing := filepath.Join(t.TempDir(), "missing")
	scope := []wrongFlag{{args: []string{"show", "--FLAG"}, want: "FLAG"}}
	return map[string][]wrongFlag{
		flagStore:  {{args: []string{"--store", "etcd://u:secret@h/x", "list"}, want: "--store etcd://…@h/x: must be sqlite:PATH"}},
		flagPrefix: {{args: []string{"--table-prefix", "a b", "list"}, want: `--table-prefix "a b": must be`}},
		flagSchema: {{args: []string{"--schema", "x", "list"}, want: "--schema is for MySQL and PostgreSQL"},
			{args: []string{"--store", "mysql://u:secret@h/d", "--schema", "a\xff", "list"}, want: `--schema "a\xff": must be the name`}},
		flagRetention:     {{args: []string{"--retention", "-1s", "list"}, want: "--retention -1s: must be"}, {args: []string{"--retention", "1d", "list"}, want: `"1d" for flag -retention`}, {args: []string{"--retention", "1s", "list"}, want: "--retention"}},
		flagReleaseMemory: {{args: []string{"--release-memory", "0s", "list"}, want: "--release-memory 0s: must be"}},
		flagTimeout:       {{args: []string{"--timeout", "-5s", "list"}, want: "--timeout -5s: must be"}},
		flagService:       scope,
		flagEndpoint:      scope,
		flagCaller:        scope,
		flagKey: {{args: []string{"list", "--key", "a b"}, want: `--key "a b"`},
			{args: []string{"show", "--service", "s", "--endpoint", "e", "--key", "a b"}, want: `--key "a b"`}},
		"state":          {{args: []string{"list", "--state", "stuck"}, want: `--state "stuck": must be running, orphaned`}, {args: []string{"list", "--state", ""}, want: `--state "": must be`}},
		"older-than":     {{args: []string{"list", "--older-than", "-1m"}, want: "--older-than -1m0s: must be"}},
		"limit":          {{args: []string{"list", "--limit", "-1"}, want: "--limit -1: must be"}, {args: []string{"list", "--limit", "ten"}, want: `"ten" for flag -limit`}},
		flagJSON:         {{args: []string{"list", "--json=perhaps"}, want: `"perhaps" for flag -json`}},
		"executed":       {{args: []string{"resolve", key}, want: "--executed or --not-executed"}},
		"not-executed":   {{args: []string{"resolve", "--executed", "--not-executed", key}, want: "--executed or --not-executed"}},
		"reason":         {{args: []string{"resolve", "--not-executed", "--reason", "x", key}, want: "--reason does not go with --not-executed"}},
		"reply":          {{args: []string{"resolve", "--executed", "--reply", "a", "--record", "b", key}, want: "--reply and --record do not go together"}, {args: []string{"resolve", "--executed", "--reply", missing, key}, want: missing, status: exitFailure}},
		"protobuf-reply": {{args: []string{"resolve", "--executed", "--protobuf-reply", missing, key}, want: missing, status: exitFailure}},
		"record":         {{args: []string{"resolve", "--executed", "--record", missing, key}, want: missing, status: exitFailure}},
		flagConfirm:      {{args: []string{"forget", "--confirm"}, want: "confirm"}},
		flagForce:        {{args: []string{"forget", "--force=perhaps", key}, want: `"perhaps" for flag -force`}},
	}
}

type wrongFlag struct {
	args   []string
	want   string
	status int // 0: exitUsage
}

// TestWrongFlags: each flag says what is wrong with it, and what it may be; one that is new
// is in the table, or this fails.
func TestWrongFlags(t *testing.T) {
	rows := wrongFlags(t, scope().StoreKey().String())
	root := newCommand(io.Discard, io.Discard)
	for _, c := range append([]*cli.Command{root}, root.Commands...) {
		for _, flag := range c.Flags {
			if name := flag.Names()[0]; rows[name] == nil {
				t.Errorf("%s --%s: nobody tries what is wrong", c.Name, name)
			}
		}
	}
	value := newSQLite(t)
	for name, wrong := range rows {
		for _, w := range wrong {
			args := slices.Clone(w.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "FLAG", name)
			}
			d := command(t, value, args...)
			if d.status != cmp.Or(w.status, exitUsage) || !strings.Contains(d.stderr, strings.ReplaceAll(w.want, "FLAG", name)) || strings.Contains(d.stderr, "secret") {
				t.Errorf("oncemore %s: status %d, %q, want %s", strings.Join(args, " "), d.status, d.stderr, w.want)
			}
		}
	}
}

func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"", "ann", "POST /tips", "\x1b[31m", "a\nb", "\xff", "ä"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range printable(s) {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
				t.Fatalf("printable(%q) = %q", s, printable(s))
			}
		}
	})
}
