package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHelpStartsNothing: who asks for help gets it, and no service.
func TestHelpStartsNothing(t *testing.T) {
	program := filepath.Join(buildPrograms(t), "user-api")
	for _, argument := range []string{"--help", "-h"} {
		// An address that cannot be listened on ends what should not have been started.
		cmd := exec.CommandContext(t.Context(), program, argument)
		cmd.Env = append(cmd.Environ(), "HELLO_NODES=127.0.0.1:1", "USER_API_ADDRESS=192.0.2.1:1")
		output, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "--registry") {
			t.Errorf("%s: ended with %v and %q, want a list of the flags", argument, err, output)
		}
	}
}

func TestStartRefusesBadSettings(t *testing.T) {
	program := filepath.Join(buildPrograms(t), "user-api")
	const nodes = "HELLO_NODES=127.0.0.1:1"
	for _, tt := range []struct {
		env  string
		args []string
		want string
	}{
		{"HELLO_NODES=127.0.0.1", nil, `user-api: HELLO_NODES="127.0.0.1": must be host:port`},
		{"HELLO_NODES=", []string{"--registry", "memory"}, `user-api: HELLO_NODES="": must be set with --registry memory`},
		{nodes, []string{"--registry", "consul"}, `user-api: --registry="consul": must be memory, or unset, with HELLO_NODES`},
		{nodes, []string{"--registry", "etcd"}, `user-api: --registry="etcd": must be one of consul, mdns, memory`},
		{nodes, []string{"--client", "http"}, `user-api: --client="http": must be one of mucp, grpc`},
		{nodes, []string{"consul"}, `user-api: argument="consul": must be left out`},
	} {
		// An address that cannot be listened on ends what should have been refused.
		cmd := exec.CommandContext(t.Context(), program, tt.args...)
		cmd.Env = append(cmd.Environ(), tt.env, "USER_API_ADDRESS=192.0.2.1:1")
		output, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitUsage || !strings.HasPrefix(string(output), tt.want) {
			t.Errorf("%s %v: ended with %v and %q, want exit status %d and %s", tt.env, tt.args, err, output, exitUsage, tt.want)
		}
	}
}
