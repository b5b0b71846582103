package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestWorkDirIsKeptOnlyForAFailure(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		work error
		want error
		kept bool
	}{
		{"success", t.Context(), nil, nil, false},
		{"failure", t.Context(), errCall, errCall, true},
		{"interruption", cancelled, errCall, errInterrupted, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			var dir string
			err := inWorkDir(tt.ctx, func(d string) error { dir = d; return tt.work })
			if !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
			if _, statErr := os.Stat(dir); (statErr == nil) != tt.kept {
				t.Errorf("directory: %v, want it kept: %t", statErr, tt.kept)
			}
			if tt.kept && !strings.Contains(err.Error(), dir) {
				t.Errorf("error %q does not say where the logs are", err)
			}
		})
	}
}
