package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// examples is the import path of the programs that are started.
const examples = "github.com/oncemore-dev/oncemore/examples/"

// build compiles the programs into dir. A process of its own is what can be
// killed; `go run` would only be its parent.
func build(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), examples+"hello-srv", examples+"user-api")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	return nil
}
