// Package flagcheck refuses values of go-micro's standard flags that go-micro
// itself would ignore: with --server=htpp or --client=grcp a service starts
// all the same, on the default.
package flagcheck

import (
	"flag"
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

// Init is service.Init for a main function. It ends the process with an error that
// names the flag, the value and what is allowed if --registry, --server or
// --client has a value that is not in the lists above, and returns flag.ErrHelp if
// the command line asked for help, which has been given: the service is not to
// start then, as go-micro would have it. It also makes --registry=memory known,
// which go-micro has but offers under no name, in a list that is global.
func Init(service micro.Service) error {
	cmd.DefaultRegistries["memory"] = registry.NewMemoryRegistry

	app := service.Options().Cmd.App()
	next, helped := app.Before, true
	app.Before = func(c *cli.Context) error {
		helped = false
		if err := check(c.String); err != nil {
			return cli.Exit(c.App.Name+": "+err.Error(), exitUsage)
		}
		if err := noArguments(c.Args().Slice()); err != nil {
			return cli.Exit(c.App.Name+": "+err.Error(), exitUsage)
		}
		return next(c)
	}
	service.Init()
	if helped {
		return flag.ErrHelp
	}
	return nil
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
