package idempotency

import (
	"crypto/sha256"
	"encoding/hex"
)

// Scope is what a record belongs to: the same key under two services, two
// endpoints or two callers is two keys that never meet.
type Scope struct {
	Service, Endpoint string
	// Caller is who calls, out of authenticated data; what a client says of
	// itself is no proof. Empty where callers are not told apart.
	Caller string
	// Key is the value of the key, as [ParseKey] returns it.
	Key string
}

// StoreKey returns the one key under which a store keeps the scope's record.
func (s Scope) StoreKey() StoreKey {
	const version = "oncemore/1"
	return hashStrings(version, s.Service, s.Endpoint, s.Caller, s.Key)
}

// StoreKey is the SHA-256 of a [Scope]. It has a fixed width, and by itself tells
// nobody the key that the client chose.
type StoreKey [sha256.Size]byte

// String returns the key in hexadecimal.
func (k StoreKey) String() string { return hex.EncodeToString(k[:]) }
