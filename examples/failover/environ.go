package main

import (
	"slices"
	"strings"
)

// cleanEnviron leaves out what would change the programs behind the driver's
// back: go-micro's and Consul's variables, and the programs' own.
func cleanEnviron(environ []string) []string {
	own := []string{"STORE", "LEDGER", "HELLO_NODES", "HELLO_KEYS", "FORM_SECRET", "USER_API_ADDRESS", "CLIENT", "CONTROL_URL", "METRICS_ADDRESS"}
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasPrefix(name, "MICRO_") || strings.HasPrefix(name, "CONSUL_") || slices.Contains(own, name)
	})
}
