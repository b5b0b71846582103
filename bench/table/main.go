// Command table reads the text that go test -bench prints, several runs of it
// if need be, and prints what the benchmarks of this module compare, as tables:
// medians over the runs, and the ratios. With -machine it prints one line that
// says what machine it runs on.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
)

func main() {
	machine := flag.Bool("machine", false, "print what machine this is, and nothing else")
	flag.Parse()
	if err := run(*machine, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1) //nolint:forbidigo // this is the main function of a process
	}
}

func run(machine bool, in io.Reader, out io.Writer) error {
	if machine {
		_, err := fmt.Fprintf(out, "# %d cores, %s/%s, %s\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
		return err
	}
	runs, err := read(in)
	if err != nil {
		return err
	}
	return write(out, runs)
}
