package main

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browserPatience is how long a page may take for what is awaited of it.
const browserPatience = time.Minute

// browser is a tab of a Chromium of its own, which ends with the test.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	troubles []string
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no Chromium: make deps installs it: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	b := new(browser)
	var endTab context.CancelFunc
	b.ctx, endTab = chromedp.NewContext(allocator)
	if err := chromedp.Do(b.ctx); err != nil { // which begins, and is not to end with a step
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		b.listen()
	}()
	t.Cleanup(func() {
		if err := chromedp.Cancel(b.ctx); err != nil {
			t.Error(err)
		}
		endTab()
		endAllocator()
		<-listening
	})
	return b
}

// listen takes note of what the console shows as an error or a warning.
func (b *browser) listen() {
	for message, err := range chromedp.Console(b.ctx) {
		if err != nil {
			return // the browser has ended
		}
		if slices.Contains([]chromedp.ConsoleType{chromedp.ConsoleError, chromedp.ConsoleWarning, chromedp.ConsoleException}, message.Type) {
			b.mu.Lock()
			b.troubles = append(b.troubles, message.Text+" "+message.URL)
			b.mu.Unlock()
		}
	}
}

// quiet checks that the console has shown nothing.
func (b *browser) quiet(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.troubles) > 0 {
		t.Errorf("the console shows %q", b.troubles)
	}
}

func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// point clicks where an element is, also on a page that the browser has kept, of which its
// protocol tells nothing anew.
func (b *browser) point(t *testing.T, selector string) {
	t.Helper()
	at := tell[[]float64](t, b, `(({ x, y, width, height }) => [x + width / 2, y + height / 2])(document.querySelector("`+
		selector+`").getBoundingClientRect())`)
	b.do(t, chromedp.MouseClickXY(at[0], at[1]))
}

// open opens a page as somebody who likes it light or dark, in a window of a size.
func (b *browser) open(t *testing.T, url, scheme string, width, height int64) {
	t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
}

// await waits until an expression of JavaScript is true, on whatever page comes.
func (b *browser) await(t *testing.T, expression string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	for {
		met, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if met {
			return
		}
		select {
		case <-ctx.Done():
			shown, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
			t.Fatalf("never true: %s: %v\n%s", expression, err, shown)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tell returns what an expression of JavaScript says.
func tell[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return value
}
