// Package flagcheck refuses values of go-micro's standard flags that go-micro
// itself would ignore: with --server=htpp or --client=grcp a service starts
// all the same, on the default.
package flagcheck

import (
	"slices"

	"github.com/urfave/cli/v2"
	"go-micro.dev/v4"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/util/cmd"

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

// exitUsage is the exit status of a program that was started wrongly.
const exitUsage = 2

// Registries are the registries that the examples know: go-micro's own mDNS
// and memory, and the Consul plugin.
func Registries() []string { return []string{"consul", "mdns", "memory"} }

// Transports are the clients and servers that the examples know: go-micro's
// own, and the grpc plugin.
func Transports() []string { return []string{"mucp", "grpc"} }

// Install makes service.Init end the process with an error that names the
// flag, the value and what is allowed if --registry, --server or --client has
// a value that is not in the lists above. It also makes --registry=memory
// known, which go-micro has but offers under no name. Call it before
// service.Init, in a main function: go-micro's list of registries is global.
func Install(service micro.Service) {
	cmd.DefaultRegistries["memory"] = registry.NewMemoryRegistry

	app := service.Options().Cmd.App()
	next := app.Before
	app.Before = func(c *cli.Context) error {
		if err := check(c.String); err != nil {
			return cli.Exit(c.App.Name+": "+err.Error(), exitUsage)
		}
		if err := noArguments(c.Args().Slice()); err != nil {
			return cli.Exit(c.App.Name+": "+err.Error(), exitUsage)
		}
		return next(c)
	}
}

func check(flag func(string) string) error {
	for _, f := range []struct {
		name    string
		allowed []string
	}{
		{"registry", Registries()},
		{"server", Transports()},
		{"client", Transports()},
	} {
		value := flag(f.name)
		if value == "" || slices.Contains(f.allowed, value) {
			continue
		}
		return setting.OneOf("--"+f.name, value, f.allowed...)
	}
	return nil
}

func noArguments(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &setting.Error{Name: "argument", Value: args[0], Allowed: "left out: only flags are taken"}
}
