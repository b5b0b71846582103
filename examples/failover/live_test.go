package main

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lines are what a program prints, as it comes.
type lines chan string

func newLines(r io.Reader) lines {
	l := make(lines)
	go func() {
		defer close(l)
		for scanner := bufio.NewScanner(r); scanner.Scan(); {
			l <- scanner.Text()
		}
	}()
	return l
}

// next returns the next line that begins so, and those before it.
func (l lines) next(t *testing.T, prefix string) (line string, before []string) {
	t.Helper()
	timeout := time.After(startTime)
	for {
		select {
		case line, more := <-l:
			if strings.HasPrefix(line, prefix) {
				return line, before
			}
			if before = append(before, line); !more {
				t.Fatalf("no line begins with %q: %q", prefix, before)
			}
		case <-timeout:
			t.Fatalf("no line begins with %q: %q", prefix, before)
		}
	}
}

// rest returns what is printed until the end.
func (l lines) rest() (all []string) {
	for line := range l {
		all = append(all, line)
	}
	return all
}

// TestLive: it prints the page's address first, hurts the instances by itself, goes on until
// it is interrupted, and then tells that nobody was harmed.
func TestLive(t *testing.T) {
	programs := t.TempDir()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := live(ctx, in, settings(t), schedule{quiet: time.Second, dead: time.Second, frozen: time.Second}, programs, programs)
		_ = in.Close() // never fails
		ended <- err
	}()
	printed := newLines(out)
	url, before := printed.next(t, "http://127.0.0.1:")
	if len(before) > 0 {
		t.Errorf("before the address: %q", before)
	}
	printed.next(t, "ready")
	for _, page := range []string{"", "healthz", "page/page.js"} {
		if _, err := look(t.Context(), url+page); err != nil {
			t.Error(err)
		}
	}
	happened := regexp.MustCompile(`^\d\d:\d\d:\d\d  (kill|restart|freeze|thaw) hello-\d$`)
	for _, want := range []string{"kill hello-1", "restart hello-1", "freeze hello-2", "thaw hello-2"} {
		line := <-printed
		if !happened.MatchString(line) || !strings.HasSuffix(line, want) {
			t.Fatalf("%q, want %s", line, want)
		}
	}
	interrupt()
	told := printed.rest()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	last := regexp.MustCompile(`^calls=[1-9]\d* failed=0 acknowledged=[1-9]\d* ledger=[1-9]\d* duplicates=0 lost=0 `)
	if len(told) == 0 || !last.MatchString(told[len(told)-1]) {
		t.Errorf("in the end it tells %q", told)
	}
	if _, err := look(t.Context(), url); err == nil {
		t.Error("user-api still answers")
	}
}

// TestLiveInterruptedAtTheStart: nobody needs to be told of what failed by that.
func TestLiveInterruptedAtTheStart(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	dir := t.TempDir()
	if err := live(ctx, io.Discard, settings(t), defaultSchedule(), dir, dir); err != nil {
		t.Error(err)
	}
}
