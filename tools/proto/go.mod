module github.com/oncemore-dev/oncemore/tools/proto

go 1.26.0

tool (
	github.com/go-micro/generator/cmd/protoc-gen-micro
	google.golang.org/protobuf/cmd/protoc-gen-go
)

require (
	github.com/go-micro/generator/cmd/protoc-gen-micro v1.0.0 // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	google.golang.org/genproto v0.0.0-20200305110556-506484158171 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
