package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Open returns a store on the server that rawURL names, with a client of its
// own that Close closes:
//
//	redis://user:password@host:6379/0                     one server
//	rediss://host:6379/0                                  the same, over TLS
//	redis://host:6379?addr=host2:6379&addr=host3:6379     a Redis Cluster, by some of its nodes
//	redis://host:26379?addr=host2:26379&master_name=main  a primary, by its Sentinels
//
// The query takes go-redis's other settings too, such as read_timeout=1s and
// pool_size=20 (see redis.ParseURL, ParseClusterURL and ParseFailoverURL).
// Errors are as for [New] and never show the password; one that no server can mend, since
// the URL is wrong, is an [ErrURL].
func Open(ctx context.Context, rawURL string, options ...Option) (*Store, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	client, err := newClient(u)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrURL, shown(u), err)
	}
	s, err := newStore(ctx, client, options)
	if err != nil {
		return nil, fmt.Errorf("redisstore: %s: %w", shown(u), errors.Join(err, client.Close()))
	}
	s.owned = true
	return s, nil
}

// ErrURL is the error of [Open] for a URL that cannot be right.
var ErrURL = errors.New("redisstore: wrong URL")

// shown is the part of a URL that errors may show: the query can hold a
// password, too.
func shown(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// parseURL accepts only what cannot be a password that was not escaped, such
// as redis://:12#34@host. Until that is known, errors show nothing of it.
func parseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it is malformed (it is not shown, as it may hold a password); "+
			"it must be like redis://user:password@host:6379/0, with special characters escaped", ErrURL)
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return nil, fmt.Errorf("%w: its scheme must be redis or rediss", ErrURL)
	case u.Host == "" || u.Fragment != "" || strings.Contains(u.Path+u.RawQuery, "@") ||
		strings.Trim(u.Path, "0123456789") != "" && strings.Trim(u.Path, "0123456789") != "/":
		return nil, fmt.Errorf("%w: it must be like redis://user:password@host:6379/0, "+
			"with special characters escaped (it is not shown, as it may hold a password)", ErrURL)
	}
	return u, nil
}

// newClient returns a client that keeps the deadlines of contexts. Unless the
// URL says otherwise it dials once: by itself go-redis tries for half a second
// to reach a server that is down, and every call meanwhile waits as long.
func newClient(u *url.URL) (redis.UniversalClient, error) {
	switch query := u.Query(); {
	case query.Has("master_name"):
		o, err := redis.ParseFailoverURL(u.String())
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled, o.DialerRetries = true, max(1, o.DialerRetries)
		return redis.NewFailoverClient(o), nil
	case query.Has("addr"):
		o, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled, o.DialerRetries = true, max(1, o.DialerRetries)
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	o.ContextTimeoutEnabled, o.DialerRetries = true, max(1, o.DialerRetries)
	return redis.NewClient(o), nil
}
