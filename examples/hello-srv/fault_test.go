package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"
)

func TestParseFault(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  fault
	}{
		{"", fault{}},
		{"sleep=200ms", fault{kind: faultSleep, sleep: 200 * time.Millisecond}},
		{"sleep=0s", fault{kind: faultSleep}},
		{"exit-before", fault{kind: faultExitBefore}},
		{"exit-after", fault{kind: faultExitAfter}},
		{"panic", fault{kind: faultPanic}},
		{"error=500", fault{kind: faultError, code: 500}},
		{"error=409", fault{kind: faultError, code: 409}},
	} {
		if got, err := parseFault(tt.value); err != nil || got != tt.want {
			t.Errorf("parseFault(%q) = %+v, %v, want %+v", tt.value, got, err, tt.want)
		}
	}
}

func TestParseFaultRefuses(t *testing.T) {
	for _, value := range []string{
		"sleep", "sleep=", "sleep=-1s", "sleep=61s", "sleep=200", "error", "error=200", "error=600", "error=x",
		"exit", "exit-before=1", "panic=", "=", "Panic", "nap=1s",
	} {
		got, err := parseFault(value)
		if got != (fault{}) || err == nil {
			t.Errorf("parseFault(%q) = %+v, %v, want an error", value, got, err)
			continue
		}
		if parsed := errors.Parse(err.Error()); parsed.Code != 400 || !strings.Contains(parsed.Detail, "exit-before") {
			t.Errorf("parseFault(%q): error %v is no 400 that says what is allowed", value, err)
		}
	}
}

func asking(t *testing.T, value string) context.Context {
	t.Helper()
	return metadata.NewContext(t.Context(), metadata.Metadata{faultMetadata: value})
}

func TestFaultsExitBeforeTheWorkOrAfterIt(t *testing.T) {
	for _, tt := range []struct {
		asked string
		want  []string
	}{
		{"exit-before", []string{"exit", "work"}}, // a real exit would not return
		{"exit-after", []string{"work", "exit"}},
		{"", []string{"work"}},
	} {
		var order []string
		f := faults{enabled: true, exit: func(int) { order = append(order, "exit") }}
		handler := f.afterHandler(func(ctx context.Context, _ server.Request, _ any) error {
			if err := f.beforeWork(ctx); err != nil {
				return err
			}
			order = append(order, "work")
			return nil
		})
		if err := handler(asking(t, tt.asked), nil, nil); err != nil {
			t.Errorf("%s: %v", tt.asked, err)
		}
		if !slices.Equal(order, tt.want) {
			t.Errorf("%s: %q, want %q", tt.asked, order, tt.want)
		}
	}
}

func TestFaultsAnswerAsAsked(t *testing.T) {
	f := faults{enabled: true}
	if err := f.beforeWork(asking(t, "error=503")); errors.Parse(err.Error()).Code != 503 {
		t.Errorf("error = %v, want code 503", err)
	}
	if err := f.beforeWork(asking(t, "nonsense")); errors.Parse(err.Error()).Code != 400 {
		t.Errorf("error = %v, want code 400", err)
	}
	if err := f.beforeWork(asking(t, "sleep=1ns")); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = f.beforeWork(asking(t, "panic"))
}

func TestFaultsSleepEndsWithTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(asking(t, "sleep=1m"))
	cancel()
	if err := (faults{enabled: true}).beforeWork(ctx); errors.Parse(err.Error()).Code != 408 {
		t.Errorf("error = %v, want code 408", err)
	}
}

func TestFaultsAreIgnoredUnlessEnabled(t *testing.T) {
	for _, value := range []string{"exit-before", "panic", "error=500", "nonsense"} {
		if err := (faults{}).beforeWork(asking(t, value)); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func FuzzParseFault(f *testing.F) {
	for _, seed := range []string{"", "sleep=1s", "error=500", "exit-after", "panic", "="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := parseFault(value)
		if err != nil && got != (fault{}) {
			t.Errorf("parseFault(%q) = %+v beside an error", value, got)
		}
		if got.sleep < 0 || got.sleep > longestSleep {
			t.Errorf("parseFault(%q) would sleep %v", value, got.sleep)
		}
	})
}
