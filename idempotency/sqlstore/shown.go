package sqlstore

import (
	"strings"
	"unicode/utf8"
)

// shown is what the table keeps of a claim for people to read, as arguments of
// statements.
type shown struct{ service, endpoint, caller, key, instance any }

// longestShown is the greatest length of a text that is kept, in bytes.
const longestShown = 1000

// show returns what is kept of a claim. A scope that the columns cannot hold as it
// is, is kept as its hash only.
func (t *tables) show(c *claim) shown {
	s := shown{"", "", "", "", ""}
	if t.holds(c.Instance) {
		s.instance = t.texts.argument(c.Instance)
	}
	if of := &c.Scope; t.holds(of.Service) && t.holds(of.Endpoint) && t.holds(of.Caller) && t.holds(of.Key) {
		s.service, s.endpoint = t.texts.argument(of.Service), t.texts.argument(of.Endpoint)
		s.caller, s.key = of.Caller, of.Key
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
