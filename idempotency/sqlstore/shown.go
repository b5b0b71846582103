package sqlstore

import (
	"strings"
	"unicode/utf8"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// shown is what the table keeps of a claim for people to read.
type shown struct{ service, endpoint, caller, key, instance string }

// longestShown is the greatest length of a text that is kept, in bytes.
const longestShown = 1000

// show returns what is kept of a claim. A scope that the columns cannot hold as it
// is, is kept as its hash only.
func (t *tables) show(c *idempotency.Claim) shown {
	s := shown{instance: c.Instance}
	if !t.holds(s.instance) {
		s.instance = ""
	}
	if of := &c.Scope; t.holds(of.Service) && t.holds(of.Endpoint) && t.holds(of.Caller) && t.holds(of.Key) {
		s.service, s.endpoint, s.caller, s.key = of.Service, of.Endpoint, of.Caller, of.Key
	}
	return s
}

// holds reports whether a column can hold a text.
func (t *tables) holds(text string) bool {
	if len(text) > longestShown || !utf8.ValidString(text) {
		return false
	}
	limit := rune(utf8.MaxRune)
	if t.asciiOnly {
		limit = utf8.RuneSelf - 1
	}
	return strings.IndexFunc(text, func(r rune) bool { return r == 0 || r > limit }) < 0
}
