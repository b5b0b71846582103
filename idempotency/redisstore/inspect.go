package redisstore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
)

var _ idempotency.Inspector = (*Store)(nil)

// Lookup implements [idempotency.Inspector], with one command. When a claim was
// made is known to within the time that a command takes.
func (s *Store) Lookup(ctx context.Context, key idempotency.StoreKey) (idempotency.Entry, error) {
	command, _, err := s.runScript(ctx, s.scripts.show, s.keys(key), "1")
	if err != nil {
		return idempotency.Entry{}, fmt.Errorf("redisstore: look up %v: %w", key, err)
	}
	e, _, err := entryOf(key, command)
	if err != nil {
		return idempotency.Entry{}, fmt.Errorf("redisstore: look up %v: %w", key, err)
	}
	return e, nil
}

// entryOf reads the answer of the script show; now is the server's time.
func entryOf(key idempotency.StoreKey, command *redis.Cmd) (e idempotency.Entry, now time.Time, err error) {
	answer, err := command.Slice()
	if err != nil {
		return e, now, err
	}
	if len(answer) == 0 {
		return idempotency.Entry{Key: key, State: idempotency.Absent}, now, nil
	}
	if len(answer) != 5 {
		return e, now, errValue
	}
	text, isText := answer[0].(string)
	about, hasAbout := answer[1].(string)
	expires, isNumber := answer[2].(int64)
	now, err = serverTime(answer[3], answer[4])
	if err != nil || !isText || !hasAbout || !isNumber {
		return e, now, errors.Join(errValue, err)
	}
	v, err := parseValue(text)
	if err != nil {
		return e, now, err
	}
	return v.entry(key, about, time.UnixMilli(expires).UTC(), now), now, nil
}

// serverTime reads the answer of TIME.
func serverTime(seconds, micros any) (time.Time, error) {
	whole, errSeconds := strconv.ParseInt(fmt.Sprint(seconds), 10, 64)
	part, errMicros := strconv.ParseInt(fmt.Sprint(micros), 10, 64)
	return time.UnixMicro(whole*1_000_000 + part).UTC(), errors.Join(errSeconds, errMicros)
}

// entry is what operators see of a value.
func (v value) entry(key idempotency.StoreKey, about string, expires, now time.Time) idempotency.Entry {
	e := idempotency.Entry{
		Key: key, Owner: idempotency.Owner(v[ownerAt:fenceAt]), Fence: v.fence(), Attempt: v.attempt(),
		Fingerprint: v.fingerprint(), ExpiresAt: expires,
	}
	readAbout(&e, about)
	outlive := binary.BigEndian.Uint64(v[outliveAt:])
	ended := expires.Add(-time.Duration(outlive) * time.Millisecond) //nolint:gosec // never negative
	switch v.state() {
	case stateDone:
		e.State, e.Record, e.EndedAt = idempotency.Done, v.record(), ended
	case stateReleased:
		e.State = idempotency.Released
		if about != "" { // else an earlier version has released it, which did not say for how long
			e.EndedAt = ended
		}
	default:
		e.State, e.LeaseUntil = idempotency.Orphaned, ended
		if ended.After(now) {
			e.State = idempotency.Running
		}
	}
	return e
}

// stateLetter is how the script resolve calls a state.
func stateLetter(s idempotency.State) string {
	switch s {
	case idempotency.Running:
		return "r"
	case idempotency.Orphaned:
		return "o"
	case idempotency.Done:
		return "d"
	case idempotency.Released:
		return "x"
	default:
		return "" // nothing is so
	}
}

// Resolve implements [idempotency.Inspector], with one command.
func (s *Store) Resolve(ctx context.Context, r idempotency.Resolution) error {
	state, kept, force := "d", r.Retention, "0"
	switch {
	case r.Record == nil && r.ReleaseMemory > 0:
		state, kept = "x", r.ReleaseMemory
	case r.Record == nil:
		state = ""
	}
	if r.Force {
		force = "1"
	}
	fence := binary.BigEndian.AppendUint64(nil, r.Seen.Fence)
	command, acknowledged, err := s.runScript(ctx, s.scripts.resolve, s.keys(r.Key),
		r.Seen.Owner[:], fence, stateLetter(r.Seen.State), r.Owner[:], state, r.Record, milliseconds(kept), force,
		s.channel(), r.Key[:])
	if err != nil {
		return fmt.Errorf("redisstore: resolve %v: %w", r.Key, err)
	}
	switch answer, err := command.Text(); answer {
	case "resolved":
		return s.enough(acknowledged)
	case "changed":
		return idempotency.ErrChanged
	case "live":
		return idempotency.ErrLive
	default:
		return fmt.Errorf("redisstore: resolve %v: %w", r.Key, errors.Join(errValue, err))
	}
}

// listPage is about how many keys are looked at by one command of List.
const listPage = 500

// List implements [idempotency.Inspector], in no order: Redis has none. It looks at
// every key of the database, whatever their prefix, a page at a time, and remembers
// which it has listed, 32 bytes each. While a cluster moves slots it may leave out
// what moves. What is damaged, or of a later version, is an error at the end of the
// rest.
func (s *Store) List(ctx context.Context, f idempotency.Filter) iter.Seq2[idempotency.Entry, error] {
	return func(yield func(idempotency.Entry, error) bool) {
		l := &listing{store: s, filter: &f, listed: make(map[idempotency.StoreKey]struct{})}
		err := l.servers(ctx, func(e idempotency.Entry) bool { return yield(e, nil) })
		if err = errors.Join(err, l.damaged); err != nil && !l.stopped {
			yield(idempotency.Entry{}, fmt.Errorf("redisstore: list: %w", err))
		}
	}
}

// listing is the state of one List.
type listing struct {
	store   *Store
	filter  *idempotency.Filter
	listed  map[idempotency.StoreKey]struct{}
	damaged error
	stopped bool // by who is listening
}

// servers lists what is on each server.
func (l *listing) servers(ctx context.Context, yield func(idempotency.Entry) bool) error {
	primaries, err := l.store.primaries(ctx)
	if err != nil {
		return err
	}
	for _, primary := range primaries {
		if err := l.server(ctx, primary, yield); err != nil || l.over() {
			return err
		}
	}
	return nil
}

func (l *listing) over() bool {
	return l.stopped || l.filter.Limit > 0 && len(l.listed) >= l.filter.Limit
}

func (l *listing) server(ctx context.Context, primary redis.UniversalClient, yield func(idempotency.Entry) bool) error {
	for cursor := uint64(0); ; {
		names, next, err := primary.Scan(ctx, cursor, globEscape(l.store.prefix)+"*", listPage).Result()
		if err != nil {
			return err
		}
		if err := l.page(ctx, l.store.parseNames(names), yield); err != nil || l.over() || next == 0 {
			return err
		}
		cursor = next
	}
}

// page yields what the filter selects of some keys.
func (l *listing) page(ctx context.Context, keys []idempotency.StoreKey, yield func(idempotency.Entry) bool) error {
	commands, err := l.store.showAll(ctx, keys)
	if err != nil {
		return err
	}
	for i, key := range keys {
		e, now, err := entryOf(key, commands[i])
		if errors.Is(err, errValue) {
			l.damaged = errors.Join(l.damaged, fmt.Errorf("%v: %w", key, err))
			continue
		}
		if err != nil {
			return err
		}
		if _, before := l.listed[key]; before || !l.selects(&e, now) {
			continue
		}
		e.Record = nil
		l.listed[key] = struct{}{}
		if l.stopped = !yield(e); l.over() {
			return nil
		}
	}
	return nil
}

func (l *listing) selects(e *idempotency.Entry, now time.Time) bool {
	young := !e.ClaimedAt.IsZero() && now.Sub(e.ClaimedAt) < l.filter.OlderThan
	return e.State != idempotency.Absent && !young && l.filter.Selects(e)
}

// showAll runs the script show on many keys at once.
func (s *Store) showAll(ctx context.Context, keys []idempotency.StoreKey) ([]*redis.Cmd, error) {
	commands := make([]*redis.Cmd, len(keys))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			commands[i] = p.Eval(ctx, s.scripts.show.source, s.keys(key), "0")
		}
		return nil
	})
	return commands, err
}

// primaries returns the clients of all primaries.
func (s *Store) primaries(ctx context.Context) (all []redis.UniversalClient, err error) {
	if s.cluster == nil {
		return []redis.UniversalClient{s.client}, nil
	}
	var mu sync.Mutex
	err = s.cluster.ForEachMaster(ctx, func(_ context.Context, client *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, client)
		return nil
	})
	return all, err
}

// parseNames returns the keys that names stand for, and leaves out other names.
func (s *Store) parseNames(names []string) []idempotency.StoreKey {
	keys := make([]idempotency.StoreKey, 0, len(names))
	for _, name := range names {
		raw, err := hex.DecodeString(strings.TrimPrefix(name, s.prefix))
		if err == nil && len(raw) == len(idempotency.StoreKey{}) {
			keys = append(keys, idempotency.StoreKey(raw))
		}
	}
	return keys
}

// globEscape makes a pattern that matches a text alone.
func globEscape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(text)
}
