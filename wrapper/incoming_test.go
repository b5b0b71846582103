package wrapper

import (
	"testing"
	"time"
)

func TestParseSent(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	tests := map[string]time.Time{
		"":                            now, // it is as late as it arrives
		"2026-11-22T11:59:59.5Z":      now.Add(-500 * time.Millisecond),
		"2026-11-22T13:59:59.5+02:00": now.Add(-500 * time.Millisecond),
		"2026-11-22T12:00:01Z":        now, // a clock that is fast must not make others late
		"1960-01-01T00:00:00Z":        time.UnixMicro(0),
	}
	for s, want := range tests {
		got, err := parseSent(s, now)
		if err != nil || got != want.UnixMicro() {
			t.Errorf("parseSent(%q) = %v, %v, want %v", s, time.UnixMicro(got).UTC(), err, want)
		}
	}
	if _, err := parseSent("soon", now); err == nil {
		t.Error("no error")
	}
}
