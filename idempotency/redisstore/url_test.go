package redisstore

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/oncemore-dev/oncemore/internal/proctest"
)

func TestOpenHidesThePassword(t *testing.T) {
	refused := proctest.Address(proctest.ReservePort(t))
	for name, test := range map[string]struct{ url, want string }{
		"nobody there":           {"redis://user:s3cr3t@" + refused + "/0", "redisstore: redis://" + refused + "/0: server " + refused + ": dial"},
		"nobody there, over TLS": {"rediss://user:s3cr3t@" + refused, "rediss://" + refused + ": "},
		"no cluster":             {"redis://user:s3cr3t@" + refused + "?addr=" + refused, "redis://" + refused + ": "},
		"no Sentinel":            {"redis://" + refused + "?master_name=main&password=s3cr3t", "redis://" + refused + ": "},
		"other scheme":           {"mysql://user:s3cr3t@host/db", "scheme must be redis or rediss"},
		"no scheme":              {"//user:s3cr3t@host:6379", "scheme must be redis or rediss"},
		"slash in the password":  {"redis://user:s3cr3t/x@host:6379/0", "special characters escaped"},
		"number and slash":       {"redis://user:12/s3cr3t@host:6379/0", "special characters escaped"},
		"number and #":           {"redis://user:12#s3cr3t@host:6379/0", "special characters escaped"},
		"number and ?":           {"redis://user:12?s3cr3t@host:6379/0", "special characters escaped"},
		"escape":                 {"redis://user:%zzs3cr3t@host:6379/0", "special characters escaped"},
		"no host":                {"redis:///0", "must be like redis://"},
		"database name":          {"redis://user:s3cr3t@host:6379/test", "must be like redis://"},
		"unknown setting":        {"redis://user:s3cr3t@host:6379/0?speed=1", "redis://host:6379/0: redis: unexpected option: speed"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), test.url)
			if err == nil {
				t.Fatal(errors.Join(errors.New("it was opened"), s.Close()))
			}
			if text := err.Error(); strings.Contains(text, "s3cr3t") || !strings.Contains(text, test.want) {
				t.Errorf("error %q: want %q, and no password", text, test.want)
			}
			if refusal := strings.HasPrefix(name, "nobody there"); refusal && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("error %v: want %v in its chain", err, syscall.ECONNREFUSED)
			}
		})
	}
}

// FuzzURLHidesThePassword puts passwords into a URL that nobody has escaped.
func FuzzURLHidesThePassword(f *testing.F) {
	for _, secret := range []string{"s3cr3t", "12/s3cr3t", "12#s3cr3t", "12?s3cr3t", "12?addr=s3cr3t", "%s3cr3t", "s3@cr3t", "[s3cr3t", "s3cr3t:1", "s3cr3t?db=1"} {
		f.Add(secret)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		const tail = "@127.0.0.1:1/0?speed=1"
		u, err := parseURL("redis://user:" + secret + tail)
		if err == nil {
			_, err = newClient(u)
			if err == nil || !strings.Contains(err.Error(), "speed") {
				t.Fatalf("error %v, want that of a setting that does not exist", err)
			}
			err = errors.Join(err, errors.New(shown(u)))
		}
		const text = "redisstore: wrong URL: it is malformed (it is not shown, as it may hold a password); " +
			"it must be like redis://user:password@host:6379/0, with special characters escaped, 127.0.0.1:1/0: unexpected option: speed"
		if len(secret) >= 4 && !strings.Contains(text, secret) && strings.Contains(err.Error(), secret) {
			t.Errorf("error %q shows %q", err, secret)
		}
	})
}
