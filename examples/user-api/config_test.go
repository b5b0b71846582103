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
		{nil, config{address: "127.0.0.1:8080", client: "oncemore", keys: "announced"}},
		{
			map[string]string{"USER_API_ADDRESS": "127.0.0.1:9000", "HELLO_NODES": "127.0.0.1:9001,127.0.0.1:9002", "CLIENT": "stock"},
			config{address: "127.0.0.1:9000", nodes: []string{"127.0.0.1:9001", "127.0.0.1:9002"}, client: "stock", keys: "vouched"},
		},
		{map[string]string{"CLIENT": "hystrix"}, config{address: "127.0.0.1:8080", client: "hystrix", keys: "announced"}},
		{
			map[string]string{"HELLO_NODES": "127.0.0.1:9001", "HELLO_KEYS": "announced", "FORM_SECRET": strings.Repeat("s", 32)},
			config{address: "127.0.0.1:8080", nodes: []string{"127.0.0.1:9001"}, client: "oncemore", keys: "announced", secret: strings.Repeat("s", 32)},
		},
		{map[string]string{"HELLO_KEYS": "vouched"}, config{address: "127.0.0.1:8080", client: "oncemore", keys: "vouched"}},
	} {
		if got, err := configFrom(env(tt.env)); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: %+v, %v, want %+v", tt.env, got, err, tt.want)
		}
	}
}

func TestConfigFromRefuses(t *testing.T) {
	for name, value := range map[string]string{
		"USER_API_ADDRESS": "8080", "HELLO_NODES": "127.0.0.1", "CLIENT": "retry", "HELLO_KEYS": "trusted",
	} {
		_, err := configFrom(env(map[string]string{name: value}))
		var notAllowed *setting.Error
		if !errors.As(err, &notAllowed) || !strings.HasPrefix(err.Error(), name+`="`+value+`": must be `) {
			t.Errorf("%s=%s: error = %v", name, value, err)
		}
	}
}

func TestConfigFromDoesNotShowTheSecret(t *testing.T) {
	_, err := configFrom(env(map[string]string{"FORM_SECRET": "hunter2"}))
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), "FORM_SECRET=") {
		t.Errorf("error = %v", err)
	}
}
