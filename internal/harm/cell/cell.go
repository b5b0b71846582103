package cell

import (
	"fmt"
	"hash/crc64"
	"slices"
	"strings"
)

// Dimension is one thing that is varied, and its values.
type Dimension struct {
	Name   string
	Values []string
}

// What is called, and how.
const (
	// Fast endpoints answer within 2 ms.
	Fast = "fast"
	// Slow ones need 0.3 to 0.9 of their caller's time.
	Slow = "slow"
	// Mixed ones are slow one time in five, else fast.
	Mixed = "mixed"
	// Chain is a call through two services to a third.
	Chain = "chain"
	// Impatient callers give up after 20 ms where the endpoint needs 50 ms;
	// one in three callers is patient, and only those are expected to be answered.
	Impatient = "impatient"
	// Large replies have 16 KiB to 1.25 MiB.
	Large = "large"
	// Fan is a call to a service that makes three calls at once to another.
	Fan = "fan-out"
)

// What happens to the instances of the service at the end of the workload: three,
// four with Fan, so that a call has a chance where one of them is away.
const (
	// Healthy ones: nothing happens.
	Healthy = "healthy"
	// OneDead is killed and stays in the registry.
	OneDead = "one dead"
	// OneFrozen stops where it is: it accepts, and nobody answers.
	OneFrozen = "one frozen"
	// OneVanished is an address that answers no SYN, from the start.
	OneVanished = "one vanished"
	// AllDead: all are killed and stay in the registry.
	AllDead = "all dead"
	// OneSlow needs 0.4 of the caller's time more.
	OneSlow = "one slow"
	// OneFailing answers 500 at once.
	OneFailing = "one failing"
	// Restarted: two are killed and come back on their port, one after the other.
	Restarted = "restarted"
	// Moved: the only instance is killed, and another one registers 300 ms later.
	Moved = "moved"
)

// go-micro's clients, and the servers they speak to.
const (
	MUCP = "mucp"
	GRPC = "grpc"
	HTTP = "http"
)

// What the servers announce about repeating a call.
const (
	// Safe endpoints announce that they change nothing.
	Safe = "safe"
	// Keyed ones deduplicate: the services of the wrapped arm have one store.
	Keyed = "keyed"
	// Neither says nothing: such a call may run once.
	Neither = "neither"
)

// What else stands around the client, in both arms alike.
const (
	// Plain is nothing.
	Plain = "plain"
	// Proxy is MICRO_PROXY: a reverse proxy that knows the instances.
	Proxy = "proxy"
	// Inside is somebody's client wrapper between oncemore and the client.
	Inside = "wrapper inside"
	// Outside is somebody's client wrapper around oncemore.
	Outside = "wrapper outside"
	// RoundRobin is go-micro's own roundrobin wrapper, inside.
	RoundRobin = "roundrobin"
)

// Dimensions returns what is varied, in the order of Cell's fields.
func Dimensions() []Dimension {
	return []Dimension{
		{"workload", []string{Fast, Slow, Mixed, Chain, Impatient, Large, Fan}},
		{"fleet", []string{Healthy, OneDead, OneFrozen, OneVanished, AllDead, OneSlow, OneFailing, Restarted, Moved}},
		{"client", []string{MUCP, GRPC, HTTP}},
		{"safety", []string{Safe, Keyed, Neither}},
		{"around", []string{Plain, Proxy, Inside, Outside, RoundRobin}},
	}
}

// Cell is one combination of values.
type Cell struct {
	Workload string `json:"workload"`
	Fleet    string `json:"fleet"`
	Client   string `json:"client"`
	Safety   string `json:"safety"`
	Around   string `json:"around"`
}

// New makes a Cell of one value of each dimension, in their order.
func New(values []string) Cell {
	return Cell{Workload: values[0], Fleet: values[1], Client: values[2], Safety: values[3], Around: values[4]}
}

// Known returns cells in which oncemore was seen to do harm, or to be of no use.
// The matrix begins with them.
func Known() []Cell {
	return []Cell{
		{Slow, Healthy, MUCP, Safe, Plain},        // attempts were cut at a third of the time
		{Slow, Healthy, GRPC, Safe, Plain},        //
		{Mixed, Healthy, MUCP, Safe, Plain},       // and circuits opened for the fast ones too
		{Chain, Healthy, GRPC, Safe, Plain},       // at each of three services again
		{Impatient, Healthy, GRPC, Safe, Plain},   // impatience opened circuits
		{Fan, Healthy, GRPC, Keyed, Plain},        // the second call to one endpoint was an error
		{Fast, OneVanished, MUCP, Neither, Plain}, // a dial had the whole call's time
		{Fast, OneFailing, GRPC, Safe, Proxy},     // 502 and UNAVAILABLE were not retried
		{Fast, OneDead, MUCP, Safe, RoundRobin},   // node switching was off
		{Fast, OneDead, HTTP, Neither, Plain},     // a refused dial was taken for a broken connection
		{Fast, Moved, MUCP, Safe, Plain},          // the registry was not asked again
	}
}

// Nested tells whether services call services in this cell. go-micro's own client
// then repeats some calls: in a service it has more time than the caller, and
// tries again after a 408.
func (c Cell) Nested() bool { return c.Workload == Chain || c.Workload == Fan }

// Values returns the cell's values in the order of Dimensions.
func (c Cell) Values() []string {
	return []string{c.Workload, c.Fleet, c.Client, c.Safety, c.Around}
}

// String names the cell by its values.
func (c Cell) String() string { return strings.Join(c.Values(), ", ") }

// Hash is a number for the cell, the same in every run.
func (c Cell) Hash() uint64 {
	return crc64.Checksum([]byte(c.String()), crc64.MakeTable(crc64.ECMA))
}

// exclusion is a pair of values that cannot meet, and the reason.
type exclusion struct{ a, b, reason string }

// exclusions lists all of them.
func exclusions() []exclusion {
	return []exclusion{
		{HTTP, Keyed, "go-micro's http server has no handler wrappers, so nothing can deduplicate its calls"},
	}
}

// Possible tells whether two values, of different dimensions, can meet.
func Possible(a, b string) bool {
	for _, e := range exclusions() {
		if e.a == a && e.b == b || e.a == b && e.b == a {
			return false
		}
	}
	return true
}

// Exclusions says which pairs of values never meet, and why.
func Exclusions() []string {
	all := exclusions()
	said := make([]string, len(all))
	for i, e := range all {
		said[i] = fmt.Sprintf("%s with %s: %s", e.a, e.b, e.reason)
	}
	return said
}

// Valid tells whether each value is one of its dimension, and all can meet.
func (c Cell) Valid() bool {
	values := c.Values()
	for i, d := range Dimensions() {
		if !slices.Contains(d.Values, values[i]) {
			return false
		}
		for _, other := range values[:i] {
			if !Possible(other, values[i]) {
				return false
			}
		}
	}
	return true
}
