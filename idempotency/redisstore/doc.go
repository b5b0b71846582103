// Package redisstore keeps idempotency records in Redis, for services with
// more than one instance.
//
// The store is exactly as durable as Redis is configured. A
// server without an append-only file forgets everything when it restarts, and
// what it has forgotten runs again. Replication is asynchronous: a failover,
// by Sentinel or in a Redis Cluster, can lose the newest claims and records.
// [WithReplicas] narrows that window but does not close it. And the record is
// not written together with the handler's own writes: who dies in between
// leaves an orphan, for [idempotency.WithTakeover] to decide. Where money must
// not move twice, use a transactional store, or let the fence or the derived
// key be checked where the money is.
//
// What it does guarantee, while Redis keeps what it has acknowledged: among
// all instances at most one holds a claim; a claim whose lease has ended can
// be taken over by one other; and nobody else's claim or record is ever
// changed, however late one arrives. Each step is one command or script, and
// safe to apply twice. Redis's clock alone decides: the clocks of the
// instances may be off by any amount. After a failover it is the clock of the
// new primary.
//
// A first call costs two commands (SET … NX GET, and a script that completes),
// a replay one. Who finds an execution running needs a second command to learn
// it and a third to wait for it; from then on each look is one command. It is
// woken by the one subscription that each store has; see [Store.Watch].
//
// Redis must be version 7 or later: one server, behind Sentinel, or a Redis
// Cluster. A user of Redis's access control needs SET, EVALSHA, EVAL, GET,
// GETRANGE, SETRANGE, PTTL, PEXPIRE, DEL, PUBLISH, SUBSCRIBE, PING, INFO, with
// replicas WAIT, and on a cluster what go-redis finds its way with, for the
// keys and the channel that begin with the prefix. [Store.Lookup] needs
// PEXPIRETIME and TIME, too, and [Store.List] SCAN.
//
// A server whose memory is full, and which does not evict, refuses new claims, so
// that nothing is executed. What was let in before is completed and released, and
// duplicates are answered: the records of what runs at that moment are all that
// the memory can exceed its limit by.
//
// # What is stored
//
// The key is the prefix and the [idempotency.StoreKey] in hexadecimal, one key
// for each call. It outlives its lease by the retention, so that an orphan is
// still known as one; TTL tells when everything about the call is forgotten. What
// an operator searches by, such as service, endpoint and caller, is readable behind
// the header of the value, and of a call that is done under a second key, the prefix
// and "about:{", the first key, "}". Values of earlier versions, which had none of
// that, are read as they are, and those versions read the values of this one, so
// that instances of both can be at work.
package redisstore
