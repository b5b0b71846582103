// Package grpcguard runs unary grpc calls once under their idempotency key, in plain
// grpc-go: interceptors for a server, over [idempotency.Guard], and for a client.
// They speak as go-micro services with oncemore do (docs/wire.md), so that a service
// that has left go-micro's server, or has never known it, still deduplicates what
// go-micro clients repeat, with the records that its go-micro instances have left;
// and the other way about.
//
// What it cannot do: a key makes one call out of two only if they carry the same
// one. The client's interceptor gives each call a key of its own, unless its context
// has one ([idempotency.WithKey], or the execution that makes the call). An
// interceptor that retries must therefore come after it in the chain, as grpc's own
// retries do; one that comes before makes two calls of one. Streams pass through.
//
// A record belongs to the service, the method and the caller. As on a go-micro
// server a method is known without its protobuf package: /shop.v1.Wallet/Tip and
// /hello-srv.Wallet/Tip, which is what a go-micro client calls, are both Wallet.Tip.
// Where two packages of one server must be told apart, see [WithEndpoint].
//
// A reply is given back in the bytes in which protobuf encoded it. An error is given
// back with code, message and details; the handler's header and trailer are not.
package grpcguard
