package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// screenshots is where the pictures of the page go that the documentation shows.
var screenshots = flag.String("screenshots", "", "write pictures of the page into this `folder`")

// TestPage looks at the page in Chromium, presses what can be pressed, and hurts real
// processes by it.
func TestPage(t *testing.T) {
	programs := t.TempDir()
	url := startLiveFor(t, programs, schedule{quiet: time.Hour, dead: time.Hour, frozen: time.Hour})
	b := openBrowser(t)

	t.Run("at rest", func(t *testing.T) {
		for _, scheme := range []string{"light", "dark"} {
			b.open(t, url, scheme, 1280, 800)
			b.await(t, `document.querySelectorAll(".instance").length === 3 && document.querySelector("#totals").textContent.includes("made")`)
			b.readable(t, scheme)
			b.reachable(t)
		}
	})
	t.Run("small", func(t *testing.T) {
		b.open(t, url, "light", 390, 844)
		b.await(t, `document.querySelectorAll(".instance").length === 3`)
		b.fits(t)
	})
	t.Run("tips", func(t *testing.T) { b.tips(t, url) })
	t.Run("kill", func(t *testing.T) { b.kill(t, url) })
	t.Run("freeze", func(t *testing.T) { b.freeze(t, url) })
	b.quiet(t)
	if *screenshots != "" {
		b.picture(t, url)
	}
}

// startLiveFor runs everything until the test ends, and returns the page's address.
func startLiveFor(t *testing.T, dir string, s schedule) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	out, in := io.Pipe()
	go func() {
		err := live(ctx, in, settings(t), s, dir, dir)
		_ = in.Close() // never fails
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	printed := newLines(out)
	url, _ := printed.next(t, "http://")
	printed.next(t, "ready")
	go printed.rest() // ends with the program
	return url
}

// kill presses the button of an instance and sees what comes of it, in the plot too.
func (b *browser) kill(t *testing.T, url string) {
	b.open(t, url, "light", 1280, 800)
	b.do(t, chromedp.Click(chromedp.CSS(`[aria-label="kill hello-2"]`)))
	b.await(t, of("hello-2", "dead"))
	b.await(t, of("hello-2", "circuit open"))
	b.await(t, `document.querySelector("#latency").dataset.marks.includes("kill")`)
	b.await(t, `document.querySelector("#latency").getAttribute("aria-label").includes("kill hello-2")`)
	b.await(t, hasLine("--bad"))
	b.await(t, `document.querySelectorAll("details").length > 0`)
	b.do(t, chromedp.Click(chromedp.CSS(`summary`)))
	b.await(t, `document.querySelector("details[open] li").innerText.length > 10`)
	b.do(t, chromedp.Click(chromedp.CSS(`[aria-label="restart hello-2"]`)))
	b.await(t, of("hello-2", "running"))
	b.await(t, of("hello-2", "circuit closed"))
	b.unharmed(t)
}

func (b *browser) freeze(t *testing.T, url string) {
	b.open(t, url, "dark", 1280, 800)
	b.do(t, chromedp.Click(chromedp.CSS(`[aria-label="freeze hello-3"]`)))
	b.await(t, of("hello-3", "frozen"))
	b.await(t, hasLine("--frozen"))
	b.await(t, `document.querySelector("[aria-label='share of hello-3']").value < 0.1`)
	b.do(t, chromedp.Click(chromedp.CSS(`[aria-label="restart hello-3"]`)))
	b.await(t, of("hello-3", "running"))
	b.unharmed(t)
}

// of is whether the page says something of an instance.
func of(instance, says string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".instance")].some((e) => e.querySelector("h3").textContent.startsWith(%q) && `+
		`e.querySelector(".state").textContent.includes(%q))`, instance, says)
}

// hasLine is whether the plot has a vertical line of a colour.
func hasLine(color string) string {
	return fmt.Sprintf(`(() => {
		const canvas = document.querySelector("#latency canvas"), paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
		paint.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(%q);
		paint.fillRect(0, 0, 1, 1);
		const [r, g, b] = paint.getImageData(0, 0, 1, 1).data;
		const { width, height } = canvas, copy = Object.assign(document.createElement("canvas"), { width, height });
		const read = copy.getContext("2d", { willReadFrequently: true });
		read.drawImage(canvas, 0, 0);
		const { data } = read.getImageData(0, 0, width, height);
		for (let x = 0; x < width; x++) {
			let n = 0;
			for (let y = 0; y < height; y++) {
				const i = 4 * (y * width + x);
				if (data[i] === r && data[i + 1] === g && data[i + 2] === b) n++;
			}
			if (n > height / 2) return true;
		}
		return false;
	})()`, color)
}

// unharmed checks that the page counts no tip that was lost or paid twice, and that all
// calls were answered.
func (b *browser) unharmed(t *testing.T) {
	t.Helper()
	b.await(t, `Number(document.querySelector("[data-tips=acknowledged]").textContent) > 0`)
	for _, name := range []string{"duplicates", "lost"} {
		if n := tell[string](t, b, `document.querySelector("[data-tips=`+name+`]").textContent`); n != "0" {
			t.Errorf("%s: %s", name, n)
		}
	}
	if totals := tell[string](t, b, `document.querySelector("#totals").textContent`); !strings.Contains(totals, " 0 failed") {
		t.Error(totals)
	}
}

// tips are paid once, whatever is done with the form.
func (b *browser) tips(t *testing.T, url string) {
	b.open(t, url, "light", 1280, 800)
	give := func(student string) {
		b.do(t, chromedp.SetValue(chromedp.CSS(`[name=student]`), student))
	}
	const button, done = `form button`, `document.title === "Thank you" || document.title === "Already done"`
	for student, then := range map[string]func(){
		"clicked-twice": func() { b.do(t, chromedp.DoubleClick(chromedp.CSS(button))) },
		"reloaded": func() {
			b.do(t, chromedp.Click(chromedp.CSS(button)))
			b.await(t, done)
			b.do(t, chromedp.Reload())
			b.await(t, `document.title === "Already done"`)
		},
		"gone-back": func() {
			b.do(t, chromedp.Click(chromedp.CSS(button)))
			b.await(t, done)
			tell[bool](t, b, `history.back() ?? true`) // which may load nothing: the page was kept
			b.await(t, `document.querySelector("form button") !== null && document.querySelector("#connection").textContent === "live"`)
			b.point(t, button)
			b.await(t, `document.title === "Already done"`)
		},
	} {
		b.do(t, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS(button)))
		give(student)
		then()
		b.await(t, done)
		if cents := balanceOf(t, url, student); cents != 500 {
			t.Errorf("%s: the balance is %d cents, want 500", student, cents)
		}
	}
}

func balanceOf(t *testing.T, url, student string) int64 {
	t.Helper()
	body, err := look(t.Context(), strings.TrimSuffix(url, "/")+"/user/balance/"+student)
	if err != nil {
		t.Fatal(err)
	}
	var balance struct {
		Cents int64 `json:"balance_cents"`
	}
	if err := json.Unmarshal([]byte(body), &balance); err != nil {
		t.Fatal(err)
	}
	return balance.Cents
}

// fits checks that nothing is wider than the window.
func (b *browser) fits(t *testing.T) {
	t.Helper()
	if wider := tell[int](t, b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wider > 0 {
		t.Errorf("the page is %d pixels wider than its window", wider)
	}
}

// reachable checks that every control gets the focus by the Tab key, and shows it.
func (b *browser) reachable(t *testing.T) {
	t.Helper()
	const mark = `(() => {
		const all = [...document.querySelectorAll("button, input:not([type=hidden]), summary, a[href], [tabindex]")];
		all.forEach((e) => { e.dataset.awaited = "1"; });
		document.activeElement?.blur();
		return all.length;
	})()`
	const note = `(() => {
		const e = document.activeElement;
		if (e.dataset.awaited && getComputedStyle(e).outlineStyle !== "none") delete e.dataset.awaited;
		return 0;
	})()`
	controls := tell[int](t, b, mark)
	if controls < 13 {
		t.Errorf("%d controls: want three buttons for each of three instances, and four more", controls)
	}
	for range controls + 5 {
		b.do(t, chromedp.KeyEvent(kb.Tab))
		tell[int](t, b, note)
	}
	if left := tell[[]string](t, b, `[...document.querySelectorAll("[data-awaited]")].map((e) => e.outerHTML)`); len(left) > 0 {
		t.Errorf("Tab does not come to, or shows no focus on, %q", left)
	}
}

// readable checks the contrast of every text by WCAG 2.2, 1.4.3 (AA).
func (b *browser) readable(t *testing.T, scheme string) {
	t.Helper()
	const poor = `(() => {
		const parse = (color) => {
			const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
			return [r, g, b, a];
		};
		const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
		const light = ([r, g, b]) => {
			const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
			return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
		};
		const ground = (e) => {
			const own = parse(getComputedStyle(e).backgroundColor);
			if (own[3] === 1 || !e.parentElement) return own;
			return over(own, ground(e.parentElement));
		};
		const poor = [];
		for (const e of document.querySelectorAll("body *")) {
			const says = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.tagName === "INPUT";
			if (!says || !e.checkVisibility() || e.tagName === "SCRIPT" || e.tagName === "NOSCRIPT") continue;
			const behind = ground(e), [a, b] = [light(over(parse(getComputedStyle(e).color), behind)), light(behind)];
			const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
			if (ratio < 4.5) poor.push(ratio.toFixed(2) + " " + e.outerHTML.slice(0, 80));
		}
		return poor;
	})()`
	if found := tell[[]string](t, b, poor); len(found) > 0 {
		t.Errorf("%s: too little contrast: %q", scheme, found)
	}
	if background := tell[string](t, b, `getComputedStyle(document.body).backgroundColor`); (scheme == "dark") != strings.HasPrefix(background, "rgb(19,") {
		t.Errorf("%s: the background is %s", scheme, background)
	}
}

// picture takes the pictures, while an instance is dead.
func (b *browser) picture(t *testing.T, url string) {
	b.open(t, url, "light", 1280, 800)
	b.do(t, chromedp.Click(chromedp.CSS(`[aria-label="kill hello-2"]`)))
	b.await(t, of("hello-2", "circuit open"))
	for _, scheme := range []string{"light", "dark"} {
		b.open(t, url, scheme, 1280, 800)
		b.await(t, `document.querySelectorAll("summary").length > 0`)
		b.do(t, chromedp.Click(chromedp.CSS("summary")))
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, "page-"+scheme+".png"), picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
