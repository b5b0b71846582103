package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// accepting is ready when somebody listens at address.
func accepting(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// healthy is ready when the user-api at url says so.
func healthy(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := look(ctx, url+"/healthz")
		return err
	}
}

// hasLeader is ready when the Consul agent at address can take registrations.
func hasLeader(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		leader, err := look(ctx, "http://"+address+"/v1/status/leader")
		if err == nil && strings.Trim(leader, "\"\n") == "" {
			err = errors.New("consul has no leader yet")
		}
		return err
	}
}

// look asks once, on a connection that it does not keep.
func look(ctx context.Context, url string) (body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	rsp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rsp.Body.Close()) }()
	content, err := io.ReadAll(rsp.Body)
	if err == nil && rsp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, rsp.Status)
	}
	return string(content), err
}
