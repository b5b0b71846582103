package readme

import (
	"bufio"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMakeRun: it prints the address of a page first, serves it, and ends with Ctrl-C.
func TestMakeRun(t *testing.T) {
	c := exec.CommandContext(t.Context(), "make", "run")
	c.Dir = root
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // a terminal of its own
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	printed := bufio.NewScanner(out)
	if !printed.Scan() || !strings.HasPrefix(printed.Text(), "http://127.0.0.1:") {
		t.Fatalf("first it prints %q", printed.Text())
	}
	page := printed.Text()
	for printed.Scan() && !strings.HasPrefix(printed.Text(), "ready") {
	}
	transport := &http.Transport{DisableKeepAlives: true}
	ask := func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page, http.NoBody)
		must(t, err)
		rsp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		return rsp.Body.Close()
	}
	must(t, ask())
	must(t, syscall.Kill(-c.Process.Pid, syscall.SIGINT))
	last := ""
	for printed.Scan() {
		if printed.Text() != "" {
			last = printed.Text()
		}
	}
	_ = c.Wait() // make says that it was interrupted
	if !strings.HasPrefix(last, "calls=") || !strings.Contains(last, " failed=0 ") || !strings.Contains(last, " duplicates=0 lost=0 ") {
		t.Errorf("in the end it prints %q", last)
	}
	if err := ask(); err == nil {
		t.Error("the page is still there")
	}
}
