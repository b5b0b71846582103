package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestConfigFrom(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want config
	}{
		{nil, config{address: "127.0.0.1:8080", client: "oncemore"}},
		{
			map[string]string{"USER_API_ADDRESS": "127.0.0.1:9000", "HELLO_NODES": "127.0.0.1:9001,127.0.0.1:9002", "CLIENT": "stock"},
			config{address: "127.0.0.1:9000", nodes: []string{"127.0.0.1:9001", "127.0.0.1:9002"}, client: "stock"},
		},
		{map[string]string{"CLIENT": "hystrix"}, config{address: "127.0.0.1:8080", client: "hystrix"}},
	} {
		if got, err := configFrom(env(tt.env)); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: %+v, %v, want %+v", tt.env, got, err, tt.want)
		}
	}
}

func TestConfigFromRefuses(t *testing.T) {
	for name, value := range map[string]string{
		"USER_API_ADDRESS": "8080", "HELLO_NODES": "127.0.0.1", "CLIENT": "retry",
	} {
		_, err := configFrom(env(map[string]string{name: value}))
		var notAllowed *setting.Error
		if !errors.As(err, &notAllowed) || !strings.HasPrefix(err.Error(), name+`="`+value+`": must be `) {
			t.Errorf("%s=%s: error = %v", name, value, err)
		}
	}
}
