package main

import (
	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	grpcserver "github.com/go-micro/plugins/v4/server/grpc"
	"go-micro.dev/v4"
)

func overGRPC() []micro.Option {
	return []micro.Option{micro.Client(grpcclient.NewClient()), micro.Server(grpcserver.NewServer())}
}
