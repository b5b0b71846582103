package wrapper

import (
	"testing"
	"time"
)

func TestRationTravels(t *testing.T) {
	for text, want := range map[string]ration{
		"850ms":                   {known: true, time: 850 * time.Millisecond},
		"850ms; spare=0":          {known: true, time: 850 * time.Millisecond, limited: true},
		"1500ms; spare=2; path=1": {known: true, time: 1500 * time.Millisecond, limited: true, spare: 2, path: 1},
		"1500us; path=3":          {known: true, time: 1500 * time.Microsecond, path: 3},
	} {
		if got := parseRation(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
		if got := want.String(); got != text {
			t.Errorf("%+v is %q, want %q", want, got, text)
		}
	}
	for text, want := range map[string]ration{
		"": {}, "soon": {}, "; spare=1": {}, "-1s": {known: true, time: -time.Second},
		"1s;spare=x;path=-1;colour=red;": {known: true, time: time.Second},
		"1s; spare=70000":                {known: true, time: time.Second},
	} {
		if got := parseRation(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

func FuzzParseRation(f *testing.F) {
	f.Add("850ms; spare=1; path=2")
	f.Add(" 1s ;;spare=;path=99999")
	f.Fuzz(func(t *testing.T, text string) {
		r := parseRation(text)
		if !r.known && r != (ration{}) || r.spare < 0 || r.path < 0 || r.spare > 0 && !r.limited {
			t.Fatalf("%q is %+v", text, r)
		}
		if !r.known || r.time < time.Millisecond {
			return
		}
		again := parseRation(r.String())
		if again.limited != r.limited || again.spare != r.spare || again.path != r.path {
			t.Fatalf("%q is %+v, and then %+v", text, r, again)
		}
	})
}
