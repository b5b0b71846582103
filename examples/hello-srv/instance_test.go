package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
)

// patience only ends tests that have failed.
const patience = 30 * time.Second

// instance is a hello-srv in a process of its own.
type instance struct {
	address string
	ledger  storeurl.Store
	say     hello.SayService
	wallet  hello.WalletService
	process *exec.Cmd
	exited  chan error
	output  *bytes.Buffer
}

func command(t *testing.T, env []string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), asHelloSrv+"=1"), env...)
	output := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output
}

// start starts an instance on a store of its own.
func start(t *testing.T, transport string, args ...string) *instance {
	t.Helper()
	file := storeurl.Store{Kind: storeurl.SQLite, Path: filepath.Join(t.TempDir(), "ledger.db")}
	return startOn(t, transport, file, file, args...)
}

func startOn(t *testing.T, transport string, store, book storeurl.Store, args ...string) *instance {
	t.Helper()
	i := &instance{address: fixture.RefusedAddress(t), ledger: book, exited: make(chan error, 1)}
	c := fixture.NewClient(t, transport, nil)
	i.say = hello.NewSayService(serviceName, c)
	i.wallet = hello.NewWalletService(serviceName, c)

	args = append([]string{"--registry", "memory", "--server", transport, "--server_address", i.address, "--server_id", "one"}, args...)
	// go-micro's server adds to a sync.WaitGroup while Stop waits for it.
	env := []string{"STORE=" + store.Environment(), "LEDGER=" + book.Environment(), "GORACE=exitcode=0"}
	i.process, i.output = command(t, env, args...)
	if err := i.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { i.exited <- i.process.Wait(); close(i.exited) }()
	t.Cleanup(func() {
		_ = i.process.Process.Kill() // it may have ended on its own
		for range i.exited {         // until closed
		}
		if t.Failed() {
			t.Logf("hello-srv said:\n%s", i.output)
		}
	})
	i.awaitServing(t)
	return i
}

func (i *instance) awaitServing(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", i.address, time.Second)
		if err == nil {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("hello-srv does not listen: %v", err)
		}
	}
}

// at sends a call to the instance once: no retry may blur what it does.
func (i *instance) at() client.CallOption {
	return func(o *client.CallOptions) {
		o.Address = []string{i.address}
		o.Retries = 0
		o.ConnectionTimeout = patience
	}
}

func (i *instance) freeze(t *testing.T) {
	t.Helper()
	if err := i.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

func (i *instance) thaw(t *testing.T) {
	t.Helper()
	if err := i.process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// executions counts the ledger's rows by key.
func (i *instance) executions(t *testing.T) map[string]int {
	t.Helper()
	book, err := ledger.Open(t.Context(), i.ledger)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := book.RowsByKey(t.Context(), "")
	if err := errors.Join(err, book.Close()); err != nil {
		t.Fatal(err)
	}
	return rows
}

// entries counts the ledger's rows.
func (i *instance) entries(t *testing.T) int {
	t.Helper()
	total := 0
	for _, n := range i.executions(t) {
		total += n
	}
	return total
}

// keyed returns a context whose calls carry a key, without a wrapped client.
func keyed(t *testing.T, key string, more ...string) context.Context {
	t.Helper()
	md := metadata.Metadata{idempotency.HeaderKey: key}
	for i := 0; i < len(more); i += 2 {
		md[more[i]] = more[i+1]
	}
	return metadata.NewContext(t.Context(), md)
}

func code(err error) int32 {
	if err == nil {
		return 0
	}
	return merrors.Parse(err.Error()).Code
}

func TestServiceAnswers(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			i := start(t, transport)
			greeting, err := i.say.Hello(t.Context(), &hello.HelloRequest{Name: "xuxu"}, i.at())
			if err != nil || greeting.GetMessage() != "Hello xuxu" || greeting.GetInstance() != "one" {
				t.Errorf("Hello = %v, %v", greeting, err)
			}

			for n := int64(1); n <= 2; n++ {
				tip, err := i.wallet.Tip(keyed(t, "k-"+strconv.FormatInt(n, 10)), &hello.TipRequest{Student: "xuxu", AmountCents: 500}, i.at())
				if err != nil || tip.GetTransferId() == "" || tip.GetBalanceCents() != n*500 {
					t.Errorf("Tip %d = %v, %v", n, tip, err)
				}
			}
			balance, err := i.wallet.Balance(t.Context(), &hello.BalanceRequest{Student: "xuxu"}, i.at())
			if err != nil || balance.GetBalanceCents() != 1000 || balance.GetStudent() != "xuxu" {
				t.Errorf("Balance = %v, %v", balance, err)
			}
			if n := i.entries(t); n != 2 {
				t.Errorf("the ledger has %d rows, want 2", n)
			}
		})
	}
}

func TestInstanceIsNamedForItsAddress(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			i := start(t, transport, "--server_id", "")
			greeting, err := i.say.Hello(t.Context(), &hello.HelloRequest{Name: "xuxu"}, i.at())
			if err != nil || greeting.GetInstance() != i.address {
				t.Errorf("Hello = %v, %v, want the instance %s", greeting, err, i.address)
			}
		})
	}
}

func TestServiceRefusesBadInput(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			i := start(t, transport)
			long := strings.Repeat("x", 101)
			for name, call := range map[string]func() error{
				"no name":   func() error { _, err := i.say.Hello(t.Context(), &hello.HelloRequest{}, i.at()); return err },
				"long name": func() error { _, err := i.say.Hello(t.Context(), &hello.HelloRequest{Name: long}, i.at()); return err },
				"nothing tipped": func() error {
					_, err := i.wallet.Tip(keyed(t, "nothing"), &hello.TipRequest{Student: "xuxu"}, i.at())
					return err
				},
				"taken back": func() error {
					_, err := i.wallet.Tip(keyed(t, "back"), &hello.TipRequest{Student: "xuxu", AmountCents: -1}, i.at())
					return err
				},
				"too generous": func() error {
					_, err := i.wallet.Tip(keyed(t, "generous"), &hello.TipRequest{Student: "xuxu", AmountCents: highestTip + 1}, i.at())
					return err
				},
				"blank student": func() error {
					_, err := i.wallet.Tip(keyed(t, "blank"), &hello.TipRequest{Student: " ", AmountCents: 1}, i.at())
					return err
				},
				"no key": func() error {
					_, err := i.wallet.Tip(t.Context(), &hello.TipRequest{Student: "xuxu", AmountCents: 1}, i.at())
					return err
				},
				"bad key": func() error {
					_, err := i.wallet.Tip(keyed(t, "a b"), &hello.TipRequest{Student: "xuxu", AmountCents: 1}, i.at())
					return err
				},
				"nobody's balance": func() error {
					_, err := i.wallet.Balance(t.Context(), &hello.BalanceRequest{}, i.at())
					return err
				},
			} {
				if err := call(); code(err) != 400 {
					t.Errorf("%s: error = %v, want code 400", name, err)
				}
			}
			if n := i.entries(t); n != 0 {
				t.Errorf("the ledger has %d rows", n)
			}
		})
	}
}

func TestCountStreams(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			i := start(t, transport)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			stream, err := i.say.Count(ctx, &hello.CountRequest{Limit: 3, IntervalMs: 50}, i.at())
			if err != nil {
				t.Fatal(err)
			}
			for want := int32(1); want <= 3; want++ {
				reply, err := stream.Recv()
				if err != nil || reply.GetNumber() != want || reply.GetInstance() != "one" {
					t.Fatalf("reply %d = %v, %v", want, reply, err)
				}
			}
			if reply, err := stream.Recv(); err == nil || (transport == fixture.GRPC && !errors.Is(err, io.EOF)) {
				t.Errorf("after the last number: %v, %v", reply, err)
			}
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFaultsEndTheProcess(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			for asked, rows := range map[string]int{"exit-before": 0, "exit-after": 1} {
				i := start(t, transport, "--faults")
				if _, err := i.wallet.Tip(keyed(t, "k", faultMetadata, asked), &hello.TipRequest{Student: "xuxu", AmountCents: 1}, i.at()); err == nil {
					t.Errorf("%s: the instance answered", asked)
				}
				var exit *exec.ExitError
				if err := <-i.exited; !errors.As(err, &exit) || exit.ExitCode() != exitFault {
					t.Errorf("%s: ended with %v, want exit status %d", asked, err, exitFault)
				}
				if n := i.entries(t); n != rows {
					t.Errorf("%s: the ledger has %d rows, want %d", asked, n, rows)
				}
			}
		})
	}
}

func TestFaultsLeaveTheProcessRunning(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			i := start(t, transport, "--faults")
			if _, err := i.say.Hello(asking(t, "error=507"), &hello.HelloRequest{Name: "xuxu"}, i.at()); code(err) != 507 {
				t.Errorf("error = %v, want code 507", err)
			}
			if _, err := i.say.Hello(asking(t, "panic"), &hello.HelloRequest{Name: "xuxu"}, i.at()); code(err) != 500 {
				t.Errorf("a handler that panicked: %v, want code 500", err)
			}
			if _, err := i.wallet.Tip(keyed(t, "k", faultMetadata, "panic"), &hello.TipRequest{Student: "xuxu", AmountCents: 1}, i.at()); code(err) != 500 {
				t.Errorf("a tip that panicked: %v, want code 500", err)
			}
			if _, err := i.say.Hello(asking(t, "sleep=1ms"), &hello.HelloRequest{Name: "xuxu"}, i.at()); err != nil {
				t.Errorf("after a panic and an error: %v", err)
			}
		})
	}
}

func TestFaultsNeedTheFlag(t *testing.T) {
	i := start(t, fixture.MUCP)
	if _, err := i.wallet.Tip(keyed(t, "k", faultMetadata, "exit-before"), &hello.TipRequest{Student: "xuxu", AmountCents: 1}, i.at()); err != nil {
		t.Error(err)
	}
}

func TestStopFinishesTheCall(t *testing.T) {
	hello := func(i *instance, wait time.Duration) error {
		_, err := i.say.Hello(asking(t, "sleep="+(wait+time.Second).String()), &hello.HelloRequest{Name: "xuxu"}, i.at())
		return err
	}
	if err := stopDuring(t, fixture.MUCP, hello); err != nil {
		t.Errorf("the call that was running: %v", err)
	}
}

// TestStopDrainsTheTip that is running: grpc gives a call no more than a second
// when it stops, and a tip that takes two is answered all the same.
func TestStopDrainsTheTip(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			tip := func(i *instance, wait time.Duration) error {
				ctx := keyed(t, "k", faultMetadata, "sleep="+(wait+2*time.Second).String())
				_, err := i.wallet.Tip(ctx, &hello.TipRequest{Student: "xuxu", AmountCents: 1}, i.at())
				return err
			}
			if err := stopDuring(t, transport, tip); err != nil {
				t.Errorf("the tip that was running: %v", err)
			}
		})
	}
}

// stopDuring stops an instance some time after a call was made, which is to run for
// longer, and returns what that was answered. A call that came when the instance had
// stopped, because the machine is busy, is made again with more time.
func stopDuring(t *testing.T, transport string, call func(i *instance, wait time.Duration) error) (err error) {
	t.Helper()
	for wait := 500 * time.Millisecond; wait < 10*time.Second; wait *= 2 {
		if err = stopAfter(t, transport, wait, call); code(err) != 503 && !strings.Contains(fmt.Sprint(err), "connection refused") {
			return err
		}
	}
	return err
}

func stopAfter(t *testing.T, transport string, wait time.Duration, call func(i *instance, wait time.Duration) error) error {
	t.Helper()
	i := start(t, transport, "--faults")
	answered := make(chan error, 1)
	go func() { answered <- call(i, wait) }()
	time.Sleep(wait)
	if err := i.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-i.exited; err != nil {
		t.Errorf("stopped with %v", err)
	}
	return <-answered
}

// TestHelpStartsNothing: who asks for help gets it, and neither a service nor a store.
func TestHelpStartsNothing(t *testing.T) {
	for _, argument := range []string{"--help", "-h"} {
		file := filepath.Join(t.TempDir(), "hello.db")
		cmd, output := command(t, []string{"STORE=sqlite:" + file}, argument)
		if err := cmd.Run(); err != nil || !strings.Contains(output.String(), "--faults") {
			t.Errorf("%s: ended with %v and %q, want a list of the flags", argument, err, output)
		}
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the store was opened: %v", argument, err)
		}
	}
}

func TestStartRefusesBadSettings(t *testing.T) {
	for _, tt := range []struct {
		store string
		args  []string
		exit  int
		want  string
	}{
		{"etcd:", nil, exitUsage, `hello-srv: STORE="etcd:": must be memory:, sqlite:PATH,`},
		{"mysql://u:secret@127.0.0.1:1", nil, exitUsage, `hello-srv: STORE="mysql://…@127.0.0.1:1": must be memory:,`},
		{"sqlite:/nonexistent/hello.db", nil, exitFailure, `/nonexistent/hello.db`},
		{"redis://u:secret@127.0.0.1:1/0", nil, exitFailure, `hello-srv: STORE=redis://u:xxxxx@127.0.0.1:1/0: `},
		{"mysql://u:secret@127.0.0.1:1/hello", nil, exitFailure, `mysql://u:xxxxx@127.0.0.1:1/hello: `},
		{"postgres://u:secret@127.0.0.1:1/hello", nil, exitFailure, `postgres://u:xxxxx@127.0.0.1:1/hello: `},
		{"", []string{"--registry", "etcd"}, exitUsage, `hello-srv: --registry="etcd": must be one of consul, mdns, memory`},
		{"", []string{"--server", "http"}, exitUsage, `hello-srv: --server="http": must be one of mucp, grpc`},
		{"", []string{"consul"}, exitUsage, `hello-srv: argument="consul": must be left out`},
	} {
		cmd, output := command(t, []string{"STORE=" + tt.store, "TMPDIR=" + t.TempDir()}, tt.args...)
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != tt.exit {
			t.Errorf("STORE=%s %v: ended with %v, want exit status %d", tt.store, tt.args, err, tt.exit)
		}
		if !strings.Contains(output.String(), tt.want) || strings.Contains(output.String(), "secret") {
			t.Errorf("STORE=%s %v: said %q, want %s", tt.store, tt.args, output, tt.want)
		}
	}
}
