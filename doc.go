// Package oncemore makes a go-micro v4 service survive the death of the
// instances it calls, and execute a repeated call once: a call whose instance
// dies is tried once more on another one, where that cannot do harm twice, and a
// server with a store answers duplicates of a call as it answered the first.
//
// Read this first: with the default policy a call that may have run is repeated
// only if its endpoint is known to be safe or idempotent, or if every instance
// announces that it deduplicates by the call's key in one and the same store.
// Say which endpoints are, in the protobuf file (idempotency_level), in the
// metadata that the server announces, or with wrapper.WithSafety, and give the
// servers of the others a store, with WithStore. A call that is neither is not
// repeated once its request has left.
//
// Subscribers handle what their broker delivers, as often as it does, except those
// that Subscriber made: they handle each message once.
//
// New makes a Plugin, whose Options install it in a service. Everything in it
// can be used alone as well: package retryfunc in a plain client.Retry,
// selectorx in a plain micro.Selector, breaker, hystrix and idempotency without
// go-micro, and the wrappers of package wrapper in a plain client.NewClient.
package oncemore
