package redisstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/proctest"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// writeCertificate returns the files of a certificate for 127.0.0.1 that
// nobody has signed, and of its key.
func writeCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("tls.crt", "CERTIFICATE", public), write("tls.key", "EC PRIVATE KEY", secret)
}

// TestTLSAndPassword opens rediss:// with a user, and checks that it is TLS
// that is spoken and the certificate that counts.
func TestTLSAndPassword(t *testing.T) {
	certificate, key := writeCertificate(t)
	port := proctest.ReservePort(t)
	server := servertest.StartRedis(t, "--tls-port", strconv.Itoa(port), "--tls-auth-clients", "no",
		"--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
	grant := []any{"ACL", "SETUSER", "teller", "on", ">s3cr3t/", "~oncemore:*", "&oncemore:*"}
	for command := range strings.FieldsSeq("set evalsha eval get getrange setrange pttl pexpire del publish subscribe ping info pexpiretime time scan") {
		grant = append(grant, "+"+command) // as the package's documentation says
	}
	if err := dial(t, server).Do(t.Context(), grant...).Err(); err != nil {
		t.Fatal(err)
	}
	address := proctest.Address(port)
	s := openURL(t, "rediss://teller:s3cr3t%2F@"+address+"/0?skip_verify=true")
	for _, end := range []func(idempotency.Execution) error{
		func(e idempotency.Execution) error { return e.Complete(t.Context(), []byte("record")) },
		func(e idempotency.Execution) error { return e.Release(t.Context()) },
	} {
		c := newTestClaim(t, newKey(t))
		e := acquire(t, s, c)
		wake := watch(t, s, c.Key)
		if out := begin(t, s, newTestClaim(t, c.Key)); out.State != idempotency.Running {
			t.Errorf("state = %v, want running", out.State)
		}
		if err := errors.Join(e.Renew(t.Context()), end(e)); err != nil {
			t.Error(err)
		}
		wantWoken(t, "the end", wake)
		entry, err := s.Lookup(t.Context(), c.Key)
		if err != nil || entry.Owner != c.Owner {
			t.Errorf("the owner is %v, %v; want %v", entry.Owner, err, c.Owner)
		}
	}
	listed := 0
	for _, err := range s.List(t.Context(), idempotency.Filter{}) {
		if err != nil {
			t.Error(err)
		}
		listed++
	}
	if listed != 2 {
		t.Errorf("%d entries are listed, want 2", listed)
	}
	for url, want := range map[string]string{
		"rediss://teller:s3cr3t%2F@" + address:                     "certificate",
		"rediss://teller:wr0ng@" + address + "/0?skip_verify=true": "WRONGPASS",
		"redis://teller:s3cr3t%2F@" + address + "/0":               "server " + address,
	} {
		_, err := Open(t.Context(), url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wr0ng") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("open %s: %v, want %q and no password", url, err, want)
		}
	}
}
