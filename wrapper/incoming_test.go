package wrapper

import (
	"testing"
	"time"

	"go-micro.dev/v4/metadata"
)

func TestParseSent(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	issued := now.Add(-time.Minute)
	tests := []struct {
		sent         string
		issued, want time.Time
	}{
		{"", time.Time{}, now}, // it is as late as it arrives
		{"", issued, issued},   // the first attempt
		{"2026-11-22T11:59:59.5Z", issued, now.Add(-500 * time.Millisecond)},
		{"2026-11-22T13:59:59.5+02:00", time.Time{}, now.Add(-500 * time.Millisecond)},
		{"2026-11-22T12:00:01Z", issued, now}, // a clock that is fast must not make others late
		{"1960-01-01T00:00:00Z", issued, time.UnixMicro(0)},
	}
	for _, tt := range tests {
		got, err := parseSent(tt.sent, tt.issued, now)
		if err != nil || got != tt.want.UnixMicro() {
			t.Errorf("parseSent(%q, %v) = %v, %v, want %v", tt.sent, tt.issued, time.UnixMicro(got).UTC(), err, tt.want)
		}
	}
	if _, err := parseSent("soon", issued, now); err == nil {
		t.Error("no error")
	}
}

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
