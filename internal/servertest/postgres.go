//go:build linux

package servertest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/oncemore-dev/oncemore/internal/proctest"
)

// StartPostgres starts a PostgreSQL with an empty database. Arguments are
// postgres's and come after its own, such as "-c", "max_connections=20".
// Since PostgreSQL refuses to run as root, a test that does starts it as the
// user postgres, or nobody.
func StartPostgres(tb testing.TB, args ...string) *Server {
	tb.Helper()
	bin, owner := postgresBin(tb), unprivileged(tb)
	dir := tempDir(tb, "postgres", owner)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data,
		"-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	initdb.Dir = dir
	run(tb, initdb)

	tb.Cleanup(func() {
		if err := removeSharedMemory(data); err != nil {
			tb.Errorf("servertest: %v", err)
		}
	})

	port := proctest.ReservePort(tb)
	address := proctest.Address(port)
	url := "postgres://postgres@" + address + "/postgres?sslmode=disable"
	process := proctest.Start(tb, proctest.Command{
		Name: "PostgreSQL at " + address,
		Path: filepath.Join(bin, "postgres"),
		Args: append([]string{
			"-D", data, "-p", strconv.Itoa(port),
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
			"-c", "max_connections=300",
			// In files, which go with the folder.
			"-c", "dynamic_shared_memory_type=mmap",
		}, args...),
		Dir:        dir,
		Credential: owner,
		StopSignal: syscall.SIGINT, // end the sessions too
		Ready:      func(ctx context.Context) error { return connectPostgres(ctx, bin, port) },
	})
	return &Server{Process: process, address: address, url: url, dsn: url}
}

// unprivileged returns the user to run as in root's place, nil for who is not
// root.
func unprivileged(tb testing.TB) *syscall.Credential {
	tb.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		account, err = user.Lookup("nobody")
	}
	if err != nil {
		tb.Fatalf("servertest: PostgreSQL needs a user other than root: %v", err)
	}
	uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		tb.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// tempDir makes a folder that belongs to owner and is removed with the test.
// The folders of tb.TempDir lie below one that only the test's user may enter,
// and have names too long for a socket.
func tempDir(tb testing.TB, name string, owner *syscall.Credential) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "oncemore-"+name+"-") //nolint:usetesting // see above
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("servertest: %v", err)
		}
	})
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// connectPostgres tells whether the server accepts sessions, in the words of
// PostgreSQL's own program, so that no test needs a driver for the sake of this
// package.
func connectPostgres(ctx context.Context, bin string, port int) error {
	output, err := exec.CommandContext(ctx, filepath.Join(bin, "pg_isready"),
		"--host=127.0.0.1", "--port="+strconv.Itoa(port), "--username=postgres", "--dbname=postgres").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// removeSharedMemory removes the System V segment by which a PostgreSQL that
// was killed, and not started again, would tell its successor that it lived.
// The lock file, which an orderly end removes, names it in its seventh line.
func removeSharedMemory(data string) error {
	lock, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	lines := strings.Split(string(lock), "\n")
	if len(lines) < 7 {
		return nil // killed before it had one
	}
	var key, id uintptr
	if _, err := fmt.Sscan(lines[6], &key, &id); err != nil {
		return fmt.Errorf("shared memory in the lock file: %w", err)
	}
	const remove = 0 // IPC_RMID, see shmctl(2)
	if _, _, errno := syscall.Syscall(syscall.SYS_SHMCTL, id, remove, 0); errno != 0 && errno != syscall.EINVAL {
		return fmt.Errorf("remove shared memory: %w", errno)
	}
	return nil
}
