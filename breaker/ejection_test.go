package breaker

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestEjected(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	if got := s.Ejected(); got != nil {
		t.Errorf("nothing is open, Ejected = %+v, want nil", got)
	}
	attempt(s, c, "failing:1", Broken)
	trip5(s, c, "recovered:1")
	attempt(s, c, "recovered:1", Success)

	trip5(s, c, "broken:1")
	broken := c.Now()
	attempt(s, c, "refused:1", Refused)
	attempt(s, c, "refused:1", Refused)
	refused := c.Now()
	c.advance(time.Second)
	if !s.Probe("broken:1", true) {
		t.Fatal("no probe")
	}
	probed := c.Now()
	attempt(s, c, "broken:1", Timeout)
	c.advance(2 * time.Second)
	if !s.Probe("refused:1", true) {
		t.Fatal("no probe")
	}

	got := s.Ejected()
	slices.SortFunc(got, func(a, b Ejection) int { return a.Since.Compare(b.Since) })
	want := []Ejection{
		{Address: "broken:1", State: Open, Since: broken, NextProbe: probed.Add(time.Second), Event: Timeout},
		{
			Address: "refused:1", State: HalfOpen, Since: refused, NextProbe: c.Now().Add(time.Second),
			Event: Refused, Refused: true,
		},
	}
	if !slices.Equal(got, want) {
		t.Errorf("Ejected\n%+v, want\n%+v", got, want)
	}
	s.Close()
	if got := s.Ejected(); got != nil {
		t.Errorf("after Close: %+v, want nil", got)
	}
}

func TestOpenAddresses(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	open := func() []string { return slices.Sorted(s.OpenAddresses()) }
	if got := open(); len(got) != 0 {
		t.Errorf("nothing is open, OpenAddresses yields %q", got)
	}
	var want []string
	for i := range 2000 { // more than fit where few are kept
		address := fmt.Sprintf("10.0.%d.%d:1", i/250, i%250)
		if i%2 == 0 {
			attempt(s, c, address, Broken)
			continue
		}
		trip5(s, c, address)
		want = append(want, address)
	}
	slices.Sort(want)
	if got := open(); !slices.Equal(got, want) {
		t.Errorf("OpenAddresses yields %d addresses, want the %d that are open", len(got), len(want))
	}

	// The loop may use the Set, and stop.
	c.advance(time.Second)
	probed := 0
	for address := range s.OpenAddresses() {
		if !s.Probe(address, true) {
			t.Fatalf("no probe of %s", address)
		}
		attempt(s, c, address, Success)
		if probed++; probed == 100 {
			break
		}
	}
	if got := len(open()); got != len(want)-probed {
		t.Errorf("%d are open after %d of %d recovered", got, probed, len(want))
	}
}
