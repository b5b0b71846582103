// Package misuse gives every option of every public package a wrong value.
package misuse

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, slices.Concat(leak.GoMicro(), leak.MemoryRegistry())...)
}

// wrong is one wrong value.
type wrong struct {
	of      string // what it is given to: package.Function
	value   string // how the error shows it
	allowed string // what the error says instead
	build   func(t *testing.T) error
}

// table has all of them.
func table() []wrong {
	return slices.Concat(ofRoot, ofClients, ofCalls, ofServers, ofSubscriptions, ofGuards, ofHTTP, ofGRPC,
		ofMemory, ofRedis, ofSQL, ofPolicies, ofRules, ofSelectors, ofCircuits)
}

// TestWrongValuesAreErrors, when what they are given to is made. The error names the
// option, the value and what is allowed.
func TestWrongValuesAreErrors(t *testing.T) {
	for _, w := range table() {
		t.Run(w.of+"/"+w.value, func(t *testing.T) {
			err := w.build(t)
			if err == nil {
				t.Fatal("no error")
			}
			_, option, _ := strings.Cut(w.of, ".")
			for what, want := range map[string]string{"option": option, "value": w.value, "rule": w.allowed} {
				if want == "" || !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want the %s %q", err, what, want)
				}
			}
		})
	}
}

// fails is what a constructor that returns two values has failed with.
func fails[T any](_ T, err error) func(*testing.T) error {
	return func(*testing.T) error { return err }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
