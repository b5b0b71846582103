package wrapper

import (
	"testing"

	"go-micro.dev/v4/metadata"
)

func TestLookUp(t *testing.T) {
	tests := []struct {
		md    metadata.Metadata
		value string
		found bool
	}{
		{nil, "", false},
		{metadata.Metadata{"Other": "x", "Idempotency-Kex": "x"}, "", false},
		{metadata.Metadata{"Idempotency-Key": ""}, "", true},
		{metadata.Metadata{"idempotency-key": "a"}, "a", true},
		{metadata.Metadata{"idempotency-key": "a", "Idempotency-Key": "b", "IDEMPOTENCY-KEY": "c"}, "b", true},
		{metadata.Metadata{"idempotency-key": "a", "IDEMPOTENCY-KEY": "c", "iDEMPOTENCY-KEY": "d"}, "c", true},
	}
	for _, tt := range tests {
		value, found := lookUp(tt.md, "Idempotency-Key")
		if value != tt.value || found != tt.found {
			t.Errorf("lookUp(%v) = %q, %v, want %q, %v", tt.md, value, found, tt.value, tt.found)
		}
	}
}
