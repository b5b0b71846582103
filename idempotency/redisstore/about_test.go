package redisstore

import (
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

func TestAbout(t *testing.T) {
	claimed := time.UnixMilli(1764115200123).UTC()
	scope := idempotency.Scope{Service: "bank", Endpoint: "Wallet.Tip", Caller: "bob\x00\xff", Key: "order-7"}
	long := scope
	long.Caller = strings.Repeat("x", longestText+1)
	for name, c := range map[string]struct{ scope, want idempotency.Scope }{
		"kept": {scope, scope}, "none": {}, "too long, so that the hash alone is kept": {long, idempotency.Scope{}},
	} {
		v := appendAbout(nil, &idempotency.Claim{Scope: c.scope, Instance: "host-7:4711"}, claimed)
		var e idempotency.Entry
		readAbout(&e, string(v))
		if e.Scope != c.want {
			t.Errorf("%s: scope %+v, want %+v", name, e.Scope, c.want)
		}
		if e.Instance != "host-7:4711" {
			t.Errorf("%s: instance %q", name, e.Instance)
		}
		if !e.ClaimedAt.Equal(claimed) {
			t.Errorf("%s: claimed at %v, want %v", name, e.ClaimedAt, claimed)
		}
		if len(v) > aboutSize(&idempotency.Claim{Scope: c.scope, Instance: "host-7:4711"}) {
			t.Errorf("%s: %d bytes, more than there was room for", name, len(v))
		}
	}
}

// FuzzReadAbout: what is damaged, or of a later version, is not known.
func FuzzReadAbout(f *testing.F) {
	f.Add("")
	f.Add("\x01\x00\x05host1")
	f.Add(string(appendAbout(nil, &idempotency.Claim{Instance: "i", Scope: idempotency.Scope{Key: "k"}}, time.UnixMilli(7))))
	f.Fuzz(func(t *testing.T, about string) {
		var e idempotency.Entry
		readAbout(&e, about)
		if e.Scope != (idempotency.Scope{}) && e.ClaimedAt.IsZero() {
			t.Errorf("%q: a half of it was taken: %+v", about, e)
		}
	})
}
