//go:build linux

package servertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/proctest"
)

// StartRedis starts a Redis that keeps everything in memory and forgets it
// when it ends. Arguments are redis-server's and come after its own, so
// "--appendonly", "yes" makes it remember across Kill and Restart.
func StartRedis(tb testing.TB, args ...string) *Server {
	tb.Helper()
	port := proctest.ReservePort(tb)
	address := proctest.Address(port)
	url := "redis://" + address + "/0"
	process := proctest.Start(tb, proctest.Command{
		Name: "Redis at " + address,
		Path: program(tb, "redis-server"),
		Args: append([]string{
			"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", tb.TempDir(),
			"--save", "", "--appendonly", "no", "--daemonize", "no",
		}, args...),
		Ready: func(ctx context.Context) error {
			pong, err := redisCommand(ctx, address, "PING")
			if err == nil && pong != "PONG" {
				err = fmt.Errorf("answer to PING: %q", pong)
			}
			return err
		},
	})
	return &Server{Process: process, address: address, url: url, dsn: url}
}

// redisCommand sends one command on a connection of its own and returns the
// answer: a status, or a bulk string. That is all that a harness asks, and it
// leaves no client behind for a test to trip over.
func redisCommand(ctx context.Context, address string, words ...string) (answer string, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", err
	}
	return redisAnswer(bufio.NewReader(conn))
}

func redisAnswer(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	switch {
	case strings.HasPrefix(line, "+"):
		return line[1:], nil
	case strings.HasPrefix(line, "$"):
		size, err := strconv.Atoi(line[1:])
		if err != nil {
			return "", err
		}
		bulk := make([]byte, size)
		_, err = io.ReadFull(r, bulk)
		return string(bulk), err
	default:
		return "", fmt.Errorf("redis: %s", line)
	}
}
