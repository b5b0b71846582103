package idempotency

import (
	"testing"
	"time"
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
		got, err := ParseSent(tt.sent, tt.issued, now)
		if err != nil || got != tt.want.UnixMicro() {
			t.Errorf("ParseSent(%q, %v) = %v, %v, want %v", tt.sent, tt.issued, time.UnixMicro(got).UTC(), err, tt.want)
		}
	}
	for sent, want := range map[string]int64{"": 0, "1960-01-01T00:00:00Z": 0, "2026-11-22T12:00:00.000001Z": now.UnixMicro() + 1} {
		if got, err := ParseReleased(sent); err != nil || got != want {
			t.Errorf("ParseReleased(%q) = %d, %v, want %d", sent, got, err, want)
		}
	}
	if _, err := ParseReleased("soon"); err == nil {
		t.Error("no error")
	}
	if _, err := ParseSent("soon", issued, now); err == nil {
		t.Error("no error")
	}
}
