package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// examples is the import path of the programs that are started.
const examples = "github.com/oncemore-dev/oncemore/examples/"

// build compiles the programs into dir. A process of its own is what can be
// killed; `go run` would only be its parent.
func build(ctx context.Context, dir string) error {
	into := dir + string(filepath.Separator)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", into, examples+"hello-srv", examples+"user-api")
	cmd.SysProcAttr = childAttributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it then removes its temporary files
	cmd.WaitDelay = stopTime
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	return nil
}
