package storeurl

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		value  string
		kind   Kind
		path   string
		logged string
	}{
		{"", SQLite, DefaultPath(), "sqlite:" + DefaultPath()},
		{"sqlite:", SQLite, DefaultPath(), "sqlite:" + DefaultPath()},
		{"sqlite:/var/lib/hello.db", SQLite, "/var/lib/hello.db", "sqlite:/var/lib/hello.db"},
		{"sqlite:hello.db", SQLite, "hello.db", "sqlite:hello.db"},
		{"memory:", Memory, "", "memory:"},
		{"none:", None, "", "none:"},
		{"redis://127.0.0.1:6379/0", Redis, "", "redis://127.0.0.1:6379/0"},
		{"mysql://hello:secret@127.0.0.1:3306/hello", MySQL, "", "mysql://hello:xxxxx@127.0.0.1:3306/hello"},
		{"postgres://hello:secret@127.0.0.1:5432/hello", Postgres, "", "postgres://hello:xxxxx@127.0.0.1:5432/hello"},
		{"postgres://127.0.0.1/hello?sslpassword=secret", Postgres, "", "postgres://127.0.0.1/hello"},
		{"rediss://:secret@127.0.0.1:6379/0", Redis, "", "rediss://:xxxxx@127.0.0.1:6379/0"},
	} {
		t.Run(tt.value, func(t *testing.T) {
			got, err := Parse(tt.value)
			if err != nil {
				t.Fatal(err)
			}
			if got.Kind != tt.kind || got.Path != tt.path {
				t.Errorf("got kind %q, path %q", got.Kind, got.Path)
			}
			if got.String() != tt.logged {
				t.Errorf("logged as %q, want %q", got, tt.logged)
			}
			if again, err := Parse(got.Environment()); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("handed on as %q, which is %+v, %v", got.Environment(), again, err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, value := range []string{
		"sqlite", "memory", "none:ever", "memory:big", "etcd://127.0.0.1", "/tmp/hello.db",
		"sqlite:hello.db?mode=memory", "sqlite:///hello.db", "redis:", "redis:6379", "redis://",
		"mysql://", "mysql://h", "mysql://h/", "postgres://h", "postgres://h/d?password=secret", "postgres:hello", "SQLITE:hello.db", " sqlite:", "mysql://a b:c@:x",
	} {
		t.Run(value, func(t *testing.T) {
			_, err := Parse(value)
			var settingErr *setting.Error
			if !errors.As(err, &settingErr) {
				t.Fatalf("error = %v, want a *setting.Error", err)
			}
			if settingErr.Name != "STORE" || !strings.Contains(err.Error(), "sqlite:PATH") {
				t.Errorf("error %q does not name the variable and what is allowed", err)
			}
		})
	}
}

func TestParseHidesPasswords(t *testing.T) {
	for _, value := range []string{
		"mysql://hello:secret@127.0.0.1:port/hello", "postgers://hello:secret@127.0.0.1/hello", "hello:secret@127.0.0.1",
		"postgres://127.0.0.1/hello?password=secret",
	} {
		_, err := Parse(value)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Parse(%q): error = %v", value, err)
		}
		if err != nil && !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("Parse(%q): error %q does not show which host", value, err)
		}
	}
}

func TestParseLedger(t *testing.T) {
	for value, want := range map[string]Kind{
		"": SQLite, "sqlite:/tmp/a.db": SQLite, "mysql://h/d": MySQL, "postgres://h/d": Postgres,
	} {
		if got, err := ParseLedger(value); err != nil || got.Kind != want {
			t.Errorf("ParseLedger(%q) = %+v, %v, want %s", value, got, err, want)
		}
	}
	for _, value := range []string{"none:", "memory:", "redis://:secret@h/0", "/tmp/a.db", "mysql://u:secret@h:port/d"} {
		_, err := ParseLedger(value)
		var settingErr *setting.Error
		if !errors.As(err, &settingErr) || settingErr.Name != "LEDGER" || strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseLedger(%q): error = %v", value, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "sqlite:x", "none:", "redis://h:1/0", "mysql://u:p@h/d", "a@b@c://"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		store, err := Parse(value)
		if (err == nil) == (store.Kind == "") {
			t.Errorf("Parse(%q) = %+v, %v: want a store or an error", value, store, err)
		}
	})
}
