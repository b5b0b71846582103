// Package control is how the page of user-api has instances of hello-srv killed, frozen
// and restarted: by the program that started them, over HTTP on the loopback interface.
// It is for demonstrations.
package control

import (
	"context"
	"errors"
	"time"
)

// Variable is the environment variable that tells user-api the URL of a Handler. Whoever
// sets it decides that the page has buttons; nothing else does.
const Variable = "CONTROL_URL"

// Action is what can be done to an instance.
type Action string

// The actions.
const (
	// Kill ends the process at once (SIGKILL).
	Kill Action = "kill"
	// Freeze stops it where it is (SIGSTOP), for a while.
	Freeze Action = "freeze"
	// Restart ends it, if it runs, and starts it again on the same port.
	Restart Action = "restart"
	// Thaw lets a frozen one go on. It happens by itself.
	Thaw Action = "thaw"
)

// Actions are those that may be asked for.
func Actions() []Action { return []Action{Kill, Freeze, Restart} }

// State is what a process does.
type State string

// The states of a process.
const (
	Running  State = "running"
	Starting State = "starting"
	Frozen   State = "frozen"
	Dead     State = "dead"
)

// Instance is a process of hello-srv.
type Instance struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	State   State  `json:"state"`
}

// Incident is what was done to an instance, and when.
type Incident struct {
	At       time.Time `json:"at"`
	Action   Action    `json:"action"`
	Instance string    `json:"instance"`
}

// Fleet is what is controlled. It must be safe for concurrent use.
type Fleet interface {
	// Look tells how the instances are, and what was lately done to them, oldest first.
	Look() Report
	// Do carries out an action. The error is ErrUnknown for an instance that is not there
	// or an action that is none, and ErrNotNow for one that makes no sense now.
	Do(ctx context.Context, instance string, action Action) error
}

// Report is what a Fleet tells.
type Report struct {
	Instances []Instance `json:"instances"`
	Incidents []Incident `json:"incidents"`
}

var (
	// ErrUnknown tells of an instance that is not there, or an action that is none.
	ErrUnknown = errors.New("control: there is no such instance, or no such action")
	// ErrNotNow tells of an action that makes no sense now, such as killing the dead.
	ErrNotNow = errors.New("control: not possible in the state in which the instance is")
)
