package upgrade

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fleet is instances of two versions and two services, on one transport, that know
// each other and share a database.
type fleet struct {
	owner              *testing.T // whose end is the instances'
	t                  *testing.T
	before, now        string // programs
	transport, dsn     string
	db                 *sql.DB
	bankOld, bankNew   *process
	shopOld, shopNew   *process
	everybody, callers []*process
	services           map[*process]string // how each is registered
	calls              atomic.Int64
}

// newFleet starts one instance of each version of each service.
func newFleet(t *testing.T, before, now, transport, dsn string) *fleet {
	t.Helper()
	f := &fleet{owner: t, t: t, before: before, now: now, transport: transport, dsn: dsn, services: make(map[*process]string)}
	var err error
	f.db, err = sql.Open("pgx", dsn)
	must(t, err)
	t.Cleanup(func() { must(t, f.db.Close()) })
	f.bankOld, f.bankNew = f.start(before, "bank", "bank-old"), f.start(now, "bank", "bank-new")
	f.shopOld, f.shopNew = f.start(before, "shop", "shop-old"), f.start(now, "shop", "shop-new")
	f.callers = []*process{f.shopOld, f.shopNew}
	return f
}

// start adds an instance, which all others then know.
func (f *fleet) start(program, service, name string) *process {
	f.t.Helper()
	command := exec.Command(program)
	command.Env = append(os.Environ(), "NODE_NAME="+name, "NODE_SERVICE="+service, "NODE_TRANSPORT="+f.transport,
		"NODE_DATABASE="+f.dsn, "MICRO_REGISTER_TTL=600", "MICRO_REGISTER_INTERVAL=300")
	p := startCommand(f.owner, name, command)
	registered := p.says(f.t, "service")
	for _, other := range f.everybody {
		other.want(f.t, "know "+name+" "+registered, "known")
		p.want(f.t, "know "+other.name+" "+f.services[other], "known")
	}
	f.everybody, f.services[p] = append(f.everybody, p), registered
	return p
}

// leave has the others forget an instance that has ended.
func (f *fleet) leave(p *process) {
	f.t.Helper()
	f.everybody = without(f.everybody, p)
	for _, other := range f.everybody {
		other.want(f.t, "forget "+p.name, "forgotten")
	}
}

func without(all []*process, gone *process) (rest []*process) {
	for _, p := range all {
		if p != gone {
			rest = append(rest, p)
		}
	}
	return rest
}

// stop ends an instance as an upgrade does.
func (f *fleet) stop(p *process) {
	f.t.Helper()
	must(f.t, p.command.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(2 * time.Minute):
		f.t.Fatalf("%s does not stop", p.name)
	}
	f.leave(p)
}

// id is one that no other piece of work has.
func (f *fleet) id(what string) string {
	return fmt.Sprintf("%s-%s-%d", what, f.transport, f.calls.Add(1))
}

// begin sends a call, and returns what waits for its answer.
func (f *fleet) begin(p *process, method, key, body string, at ...*process) func() string {
	f.t.Helper()
	name := f.id("call")
	words := []string{"call", name, method, key, body}
	for _, node := range at {
		words = append(words, node.name)
	}
	p.tell(f.t, strings.Join(words, " "))
	return sync.OnceValue(func() string { return p.says(f.t, "call "+name) })
}

// call makes a call, and returns its answer.
func (f *fleet) call(p *process, method, key, body string, at ...*process) string {
	f.t.Helper()
	return f.begin(p, method, key, body, at...)()
}

// wantAnswer makes a call, and wants an answer that begins so.
func (f *fleet) wantAnswer(p *process, want, method, key, body string, at ...*process) {
	f.t.Helper()
	if got := f.call(p, method, key, body, at...); !strings.HasPrefix(got, want) {
		f.t.Errorf("%s calls %s with %s: %q, want %q", p.name, method, body, got, want)
	}
}

// wantRows counts the rows of a piece of work in the ledger.
func (f *fleet) wantRows(id string, want int) {
	f.t.Helper()
	var n int
	row := f.db.QueryRowContext(context.WithoutCancel(f.t.Context()), "SELECT COUNT(*) FROM business WHERE name = $1", id)
	must(f.t, row.Scan(&n))
	if n != want {
		f.t.Errorf("%s: %d rows in the ledger, want %d", id, n, want)
	}
}
