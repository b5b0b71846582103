package dashboards

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestRules: they are well-formed, and each alert fires when it should, and does not when
// it should not.
func TestRules(t *testing.T) {
	for _, arguments := range [][]string{
		{"check", "rules", "--lint-fatal", shipped + "alerts.yml"},
		{"test", "rules", shipped + "alerts_test.yml"},
	} {
		command := exec.CommandContext(t.Context(), promtool(t), arguments...)
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
}

// TestRulesFire: each alert has a test in which it fires.
func TestRulesFire(t *testing.T) {
	tests := read(t, shipped+"alerts_test.yml")
	names := alertNames(t)
	for _, name := range names {
		if !strings.Contains(tests, `ALERTS{alertname="`+name+`", alertstate="firing"`) {
			t.Errorf("no test has %s fire", name)
		}
	}
}

// TestOperationsHasEveryAlert, and each rule leads to its section.
func TestOperationsHasEveryAlert(t *testing.T) {
	operations, rules := read(t, root+"docs/operations.md"), read(t, shipped+"alerts.yml")
	const page = "https://github.com/oncemore-dev/oncemore/blob/main/docs/operations.md#"
	for _, name := range alertNames(t) {
		if !strings.Contains(operations, "\n### "+name+"\n") {
			t.Errorf("docs/operations.md has no section %s", name)
		}
		if !strings.Contains(rules, "runbook_url: "+page+strings.ToLower(name)+"\n") {
			t.Errorf("no rule leads to the section of %s", name)
		}
	}
}

func alertNames(t *testing.T) (names []string) {
	t.Helper()
	for _, found := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, shipped+"alerts.yml"), -1) {
		names = append(names, found[1])
	}
	if len(names) == 0 {
		t.Fatal("there are no alerts")
	}
	return names
}

func promtool(t *testing.T) string {
	t.Helper()
	return installed(t, "promtool")
}

func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v; run: make deps", err)
	}
	return path
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	return string(text)
}
