package flagcheck

import "testing"

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags map[string]string
		want  string
	}{
		{"nothing set", nil, ""},
		{"all known", map[string]string{"registry": "consul", "server": "grpc", "client": "mucp"}, ""},
		{"registry", map[string]string{"registry": "etcd"}, `--registry="etcd": must be one of consul, mdns, memory`},
		{"server", map[string]string{"server": "http"}, `--server="http": must be one of mucp, grpc`},
		{"client", map[string]string{"client": "GRPC"}, `--client="GRPC": must be one of mucp, grpc`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			if err := check(func(name string) string { return tt.flags[name] }); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNoArguments(t *testing.T) {
	if err := noArguments(nil); err != nil {
		t.Error(err)
	}
	err := noArguments([]string{"consul"})
	if err == nil || err.Error() != `argument="consul": must be left out: only flags are taken` {
		t.Errorf("error = %v", err)
	}
}
