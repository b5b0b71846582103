package idempotency

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"
)

// MaxInstanceLength is the greatest length of the name of an instance, in bytes.
const MaxInstanceLength = 255

// Options are the settings of a [Guard], made by the functions of type
// [Option].
type Options struct {
	lease            time.Duration
	maxWait          time.Duration
	executionTimeout time.Duration
	retention        time.Duration
	clockMargin      time.Duration
	ownMargin        bool // else clockMargin follows the retention
	releaseMemory    time.Duration
	storeTimeout     time.Duration
	pollInterval     time.Duration
	maxReply         int
	takeover         Takeover
	storeFailure     StoreFailure
	errorPolicy      func(error) Verdict
	encodeError      func(error) *RecordedError
	hooks            []Hook
	origin           func(context.Context) string
	logger           *slog.Logger // nil for slog.Default
	silent           bool
	instance         string
	hashedOnly       bool
}

// settings lets a type embed its options without exporting them.
type settings = Options

// longest bounds every duration, so that the sum of some and of a clock's time
// is one too.
const longest = 50 * 365 * 24 * time.Hour

// Option changes one setting of a [Guard]. No duration is more than 50 years.
type Option func(*Options)

func defaults() *Options {
	return &Options{
		lease:            10 * time.Second,
		maxWait:          30 * time.Second,
		executionTimeout: 30 * time.Second,
		retention:        24 * time.Hour,
		releaseMemory:    10 * time.Minute,
		storeTimeout:     3 * time.Second,
		pollInterval:     time.Second,
		maxReply:         1 << 20,
		errorPolicy:      func(error) Verdict { return VerdictByOutcome },
		encodeError:      recordedError,
		instance:         thisProcess(),
	}
}

// thisProcess names this process among those of all hosts.
func thisProcess() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	process := fmt.Sprintf(":%d", os.Getpid())
	return host[:min(len(host), MaxInstanceLength-len(process))] + process
}

// WithLease sets how long a claim lasts on a detached store after its owner
// has died. It is renewed at a third of its length while the handler runs.
// Default 10 s; at least 1 ms.
func WithLease(d time.Duration) Option { return func(o *Options) { o.lease = d } }

// WithMaxWait sets how long a duplicate waits for the running execution before
// it is answered 408 ([ErrWaitTimeout]); the caller's own deadline may be
// sooner. With 0 it does not wait and is answered 409 ([ErrRunning]), also while
// this process only looks up what to answer to another duplicate. Default 30 s.
func WithMaxWait(d time.Duration) Option { return func(o *Options) { o.maxWait = d } }

// WithExecutionTimeout sets the deadline of the handler's context. It takes the
// place of the caller's, because a keyed execution does not die with the
// connection that started it. Default 30 s; more than 0.
func WithExecutionTimeout(d time.Duration) Option {
	return func(o *Options) { o.executionTimeout = d }
}

// WithRetention sets how long a record answers duplicates. A key that was
// issued longer ago is refused ([ErrExpired]). Default 24 h; at least as long as
// one execution may take, see [WithExecutionTimeout]: a key that is forgotten while
// it runs, or as soon as it has run, is executed again.
func WithRetention(d time.Duration) Option { return func(o *Options) { o.retention = d } }

// WithClockMargin sets how much longer than the retention records are kept, so
// that a key whose issuer's clock is fast, or one that is judged by a host
// whose clock is slow, still finds its record. Default 1 h, or the retention
// if that is less; 0 trusts all clocks.
func WithClockMargin(d time.Duration) Option {
	return func(o *Options) { o.clockMargin, o.ownMargin = d, true }
}

// WithReleaseMemory sets how long a released attempt is remembered: as long as
// an earlier attempt of the same call may still arrive, out of the socket of a
// process that was frozen. Default 10 min; 0 forgets at once.
func WithReleaseMemory(d time.Duration) Option { return func(o *Options) { o.releaseMemory = d } }

// WithStoreTimeout bounds one operation of the store, beyond the time for which
// it may wait for a running execution. Default 3 s; more than 0.
func WithStoreTimeout(d time.Duration) Option { return func(o *Options) { o.storeTimeout = d } }

// WithPollInterval sets how often a key that runs in another process is looked
// at. Where the store reports changes (see [Watcher]) that is a safety net;
// elsewhere looks begin at 5 ms and double up to the interval. Default 1 s;
// more than 0.
func WithPollInterval(d time.Duration) Option { return func(o *Options) { o.pollInterval = d } }

// WithMaxReply sets the size in bytes beyond which a reply is not kept: its
// duplicates are answered 410 ([ErrNoReply]) and not executed. Default 1 MiB;
// at least 1.
func WithMaxReply(bytes int) Option { return func(o *Options) { o.maxReply = bytes } }

// WithTakeover sets what happens to an orphan. Default [TakeoverHold].
func WithTakeover(t Takeover) Option { return func(o *Options) { o.takeover = t } }

// WithStoreFailure sets what happens while the store does not answer. Default
// [FailClosed].
func WithStoreFailure(p StoreFailure) Option { return func(o *Options) { o.storeFailure = p } }

// WithErrorPolicy decides, for an error of the handler (a panic comes as a
// [*PanicError]), what becomes of the key. An error that the handler has marked is
// not asked about. Default [VerdictByOutcome] for all, which decides by what the
// error says about the outcome:
//
//	the handler ended with           | transactional store   | detached store
//	success                          | recorded              | recorded
//	a final error: below 500 (but    | recorded, its writes  | recorded
//	for those of the next row but    | undone                |
//	one), or marked [Final]          |                       |
//	one marked [FinalKeepWrites]     | recorded, its writes  | recorded
//	                                 | stay                  |
//	an error that settles nothing:   | rolled back, released | released
//	an ended context or any other    |                       |
//	timeout, 408, 425, 429, 503,     |                       |
//	one that is [Unsettled], or      |                       |
//	marked [NotDone]                 |                       |
//	500 or more, a plain error, a    | rolled back, released | recorded
//	panic, the end of its own        |                       |
//	execution timeout                |                       |
//
// A final error will be the same the next time: to execute again is useless. One
// that settles nothing is no answer, and the caller who repeats its request must
// not get it for the next 24 hours; whatever the handler did before is for its
// second run to find, with the same derived keys. In the last row the handler may
// have done a part of its work: the rollback proves that nothing of it is left,
// where there is none nobody knows, and it is not done a second time.
func WithErrorPolicy(decide func(error) Verdict) Option {
	return func(o *Options) { o.errorPolicy = decide }
}

// WithErrorEncoder sets how a handler's error becomes a record. By default a
// [*RecordedError] stays what it is, and any other error gives its text as
// Detail and, as Code, what its method StatusCode() int says, else 500. A
// [*PanicError] is never given to the encoder. The encoder must not return
// nil.
func WithErrorEncoder(encode func(error) *RecordedError) Option {
	return func(o *Options) { o.encodeError = encode }
}

// WithHook adds a function that sees every [Event], after those that were added
// before. It takes nothing's place: what the log says, see [WithLogger], it says
// with hooks, too.
func WithHook(hook Hook) Option {
	return func(o *Options) { o.hooks = append(slices.Clip(o.hooks), hook) }
}

// WithLogger sets where to log what somebody must know of to keep money from being
// lost or moved twice: failures of the store, executions whose outcome is unknown
// or whose answer could not be stored, transactions that do not commit, damaged
// records, takeovers, lost leases, panics with their stack, and what an operator
// resolved. What an outage repeats with every call is logged ten times in ten
// seconds; then the next line says how many were left out. Replies are never
// logged, only their size and hash; nor are keys and callers with
// [WithHashesOnly]. Default slog.Default(), looked up when there is something to
// log; nil for no log.
func WithLogger(logger *slog.Logger) Option {
	return func(o *Options) { o.logger, o.silent = logger, logger == nil }
}

// WithInstance sets the name of this process that the store keeps with each claim,
// so that an operator who finds one that is stuck knows whom to ask. Default the
// host's name and the number of the process, as in "host-7:4711"; not empty.
func WithInstance(name string) Option { return func(o *Options) { o.instance = name } }

// WithHashesOnly makes the store keep the hash of a [Scope] and not the scope
// itself, for those to whom a key or a caller is a secret. Whoever has a scope can
// still look it up; an operator can search by state, instance and age only.
func WithHashesOnly() Option { return func(o *Options) { o.hashedOnly = true } }

// apply returns the settings with the options applied, checked.
func (o *Options) apply(options []Option) (Options, error) {
	chosen := *o
	for i, option := range options {
		if option == nil {
			return chosen, fmt.Errorf("idempotency: option %d is nil: leave it out instead", i)
		}
		option(&chosen)
	}
	within := func(name string, d, least time.Duration) error {
		if d < least || d > longest {
			return fmt.Errorf("idempotency: %s(%v): must be at least %v and at most %v", name, d, least, longest)
		}
		return nil
	}
	err := errors.Join(
		within("WithLease", chosen.lease, time.Millisecond),
		within("WithMaxWait", chosen.maxWait, 0),
		within("WithExecutionTimeout", chosen.executionTimeout, 1),
		within("WithRetention", chosen.retention, 1),
		chosen.checkRetention(),
		within("WithClockMargin", chosen.clockMargin, 0),
		within("WithReleaseMemory", chosen.releaseMemory, 0),
		within("WithStoreTimeout", chosen.storeTimeout, 1),
		within("WithPollInterval", chosen.pollInterval, 1),
		chosen.checkPolicies(),
	)
	return chosen, err
}

// checkRetention refuses to forget a key while it may still be running.
func (o *Options) checkRetention() error {
	if o.retention < o.executionTimeout {
		return fmt.Errorf("idempotency: WithRetention(%v): must be at least the execution timeout, which is %v (WithExecutionTimeout)",
			o.retention, o.executionTimeout)
	}
	return nil
}

func (o *Options) checkPolicies() error {
	switch {
	case o.maxReply < 1:
		return fmt.Errorf("idempotency: WithMaxReply(%d): must be at least 1", o.maxReply)
	case o.storeFailure > FailOpen:
		return fmt.Errorf("idempotency: WithStoreFailure(%d): must be FailClosed or FailOpen", o.storeFailure)
	case o.takeover.invalid:
		return errors.New("idempotency: WithTakeover(TakeoverRecover(nil)): must be given a function")
	case o.errorPolicy == nil:
		return errors.New("idempotency: WithErrorPolicy(nil): must be given a function")
	case o.encodeError == nil:
		return errors.New("idempotency: WithErrorEncoder(nil): must be given a function")
	case slices.ContainsFunc(o.hooks, func(h Hook) bool { return h == nil }):
		return errors.New("idempotency: WithHook(nil): must be given a function")
	case o.instance == "" || len(o.instance) > MaxInstanceLength:
		return fmt.Errorf("idempotency: WithInstance(%q): must have 1 to %d bytes", o.instance, MaxInstanceLength)
	}
	return nil
}

// kept is how long a store keeps a record.
func (o *Options) kept() time.Duration {
	if !o.ownMargin {
		return o.retention + min(o.retention, time.Hour)
	}
	return o.retention + o.clockMargin
}
