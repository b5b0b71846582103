package retryfunc

import "testing"

func TestClientNamed(t *testing.T) {
	for function, want := range map[string]struct {
		name string
		ok   bool
	}{
		"go-micro.dev/v4/client.(*rpcClient).Call":                           {"mucp", true},
		"go-micro.dev/v4/client.(*rpcClient).Stream":                         {"mucp", true},
		"go-micro.dev/v4/client.(*rpcClient).Call.func1":                     {"", true},
		"github.com/go-micro/plugins/v4/client/grpc.(*grpcClient).Call":      {"grpc", true},
		"github.com/go-micro/plugins/v4/client/http.(*httpClient).Call":      {"", true},
		"github.com/asim/go-micro/plugins/client/grpc/v4.(*grpcClient).Call": {"", true},
		"go-micro.dev/v4/client.RetryAlways":                                 {"", false},
		"github.com/go-micro/plugins/v4/server/grpc.(*grpcServer).handler":   {"", false},
		"github.com/oncemore-dev/oncemore/retryfunc.Careful":                 {"", false},
		"": {"", false},
	} {
		if name, ok := clientNamed(function); name != want.name || ok != want.ok {
			t.Errorf("clientNamed(%q) = %q, %v, want %v", function, name, ok, want)
		}
	}
}
