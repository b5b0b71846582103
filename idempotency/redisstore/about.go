package redisstore

import (
	"encoding/binary"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// About a key is what operators search by. It comes after the header of a value
// while the key is running or released, where programs of before it do not look,
// and under a key of its own when it is done, where the record comes after the
// header: a version; milliseconds since 1970 of when it was claimed; and the
// instance, service, endpoint, caller and key, each behind its length.
const aboutVersion = 1

// longestText is the greatest length of a text that is kept: scripts read no more
// than 8 KiB of what is about a key.
const longestText = 1000

// appendAbout appends what is about a claim. A scope of which a part is too long is
// kept as its hash only.
func appendAbout(v value, c *idempotency.Claim, claimed time.Time) value {
	v = append(v, aboutVersion)
	v = binary.AppendVarint(v, claimed.UnixMilli())
	v = appendText(v, c.Instance)
	s := &c.Scope
	if max(len(s.Service), len(s.Endpoint), len(s.Caller), len(s.Key)) > longestText {
		s = new(idempotency.Scope)
	}
	for _, text := range [...]string{s.Service, s.Endpoint, s.Caller, s.Key} {
		v = appendText(v, text)
	}
	return v
}

// aboutSize is at least as much as appendAbout appends.
func aboutSize(c *idempotency.Claim) int {
	s := &c.Scope
	return 32 + len(c.Instance) + len(s.Service) + len(s.Endpoint) + len(s.Caller) + len(s.Key)
}

func appendText(v value, text string) value {
	text = text[:min(len(text), longestText)]
	return append(binary.AppendUvarint(v, uint64(len(text))), text...)
}

// readAbout adds to an entry what is about it. What a later version has written, or
// nobody, is not known.
func readAbout(e *idempotency.Entry, about string) {
	if about == "" || about[0] != aboutVersion {
		return
	}
	raw := []byte(about[1:])
	claimed, n := binary.Varint(raw)
	if n <= 0 {
		return
	}
	raw = raw[n:]
	var texts [5]string
	for i := range texts {
		length, n := binary.Uvarint(raw)
		if n <= 0 || length > longestText || int(length) > len(raw)-n {
			return
		}
		raw = raw[n:]
		texts[i], raw = string(raw[:length]), raw[length:]
	}
	e.ClaimedAt = time.UnixMilli(claimed).UTC()
	e.Instance = texts[0]
	e.Scope = idempotency.Scope{Service: texts[1], Endpoint: texts[2], Caller: texts[3], Key: texts[4]}
}
