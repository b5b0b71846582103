package redisstore

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// A value is a header of fixed width and, once done, the record, else what is
// about the key. The scripts know the header's layout, too, and never look into the
// rest.
const (
	format = 1 // of this layout; changes with it

	stateRunning  = 'r'
	stateDone     = 'd'
	stateReleased = 'x'

	formatAt      = 0
	stateAt       = 1
	watchedAt     = 2 // '1' once somebody watches the key: the execution's end is published
	takenAt       = 3 // '1' if the claim took an orphan over
	ownerAt       = 4
	fenceAt       = 20
	fingerprintAt = 28
	attemptAt     = 61
	outliveAt     = 69 // for how many ms the key outlives its lease, or its end
	headerSize    = 77
)

// errValue says that what is stored under a key was not written by this
// version of this package.
var errValue = errors.New("what is stored under the key is damaged, or of another version")

// value is what is stored under a key, or what a claim would store.
type value []byte

// newClaim returns the value of a key that c claims, with room for more behind it.
func newClaim(c *idempotency.Claim, room int) value {
	v := make(value, headerSize, headerSize+room)
	v[formatAt], v[stateAt], v[watchedAt], v[takenAt] = format, stateRunning, '0', '0'
	copy(v[ownerAt:], c.Owner[:])
	binary.BigEndian.PutUint64(v[fenceAt:], 1)
	copy(v[fingerprintAt:], c.Fingerprint[:])
	binary.BigEndian.PutUint64(v[attemptAt:], uint64(c.Attempt))                 //nolint:gosec // never negative
	binary.BigEndian.PutUint64(v[outliveAt:], uint64(milliseconds(c.Retention))) //nolint:gosec // never negative
	return v
}

// parseValue checks that the text has a header.
func parseValue(text string) (value, error) {
	if len(text) < headerSize || text[formatAt] != format {
		return nil, errValue
	}
	return value(text), nil
}

func (v value) watch()         { v[watchedAt] = '1' }
func (v value) state() byte    { return v[stateAt] }
func (v value) taken() bool    { return v[takenAt] == '1' }
func (v value) fence() uint64  { return binary.BigEndian.Uint64(v[fenceAt:]) }
func (v value) attempt() int64 { return int64(binary.BigEndian.Uint64(v[attemptAt:])) } //nolint:gosec // never negative
func (v value) record() []byte { return v[headerSize:] }

func (v value) fingerprint() idempotency.Fingerprint {
	return idempotency.Fingerprint(v[fingerprintAt:attemptAt])
}

// milliseconds rounds up: nothing is forgotten early, and PX 0 is an error.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
