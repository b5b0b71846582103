package grpcguard_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/grpcguard"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

// guardedServer returns a grpc server that runs each keyed call once.
func guardedServer() (*grpc.Server, error) {
	store, err := memstore.New()
	if err != nil {
		return nil, err
	}
	guard, err := idempotency.New(store)
	if err != nil {
		return nil, err
	}
	once, err := grpcguard.NewServer("shop", guard, grpcguard.WithRequired(check))
	if err != nil {
		return nil, err
	}
	return grpc.NewServer(grpc.UnaryInterceptor(once.Unary)), nil
}

// A call that is repeated under its key is executed once.
func Example() {
	server, err := guardedServer()
	if err != nil {
		fmt.Println(err)
		return
	}
	counted := new(health)
	grpc_health_v1.RegisterHealthServer(server, counted)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()

	keys, err := grpcguard.NewClient("shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := grpc.Dial(listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(keys.Unary))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 { // such as a browser's form that is sent twice
		ctx := idempotency.WithKey(context.Background(), "form-7")
		reply, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, new(grpc_health_v1.HealthCheckRequest))
		fmt.Println(reply.GetStatus(), err)
	}
	fmt.Println("runs:", counted.runs.Load())
	if err := conn.Close(); err != nil {
		fmt.Println(err)
	}
	server.GracefulStop()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
	// Output:
	// SERVING <nil>
	// SERVING <nil>
	// runs: 1
}
