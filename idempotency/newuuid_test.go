package idempotency

import (
	"testing"

	"github.com/google/uuid"
)

// TestNewUUID: every key is a random UUID, and none is like another.
func TestNewUUID(t *testing.T) {
	const keys = 10_000
	seen := make(map[string]bool, keys)
	for range keys {
		key, err := NewUUID()
		if err != nil {
			t.Fatal(err)
		}
		id, err := uuid.Parse(key)
		if err != nil || id.Version() != 4 || id.Variant() != uuid.RFC4122 || id.String() != key {
			t.Fatalf("%q is version %v of variant %v: %v", key, id.Version(), id.Variant(), err)
		}
		seen[key] = true
	}
	if len(seen) != keys {
		t.Errorf("%d keys of %d differ", len(seen), keys)
	}
}

// BenchmarkNewUUID allocates the text alone.
func BenchmarkNewUUID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewUUID(); err != nil {
			b.Fatal(err)
		}
	}
}
