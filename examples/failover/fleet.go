package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/oncemore-dev/oncemore/examples/internal/control"
)

// mostIncidents is how many are remembered.
const mostIncidents = 100

// fleet are instances that the schedule and whoever looks at the page hurt. It is safe for
// concurrent use, except that its instances are started by one goroutine that then gives
// them away with take.
type fleet struct {
	mu        sync.Mutex
	members   []*member
	incidents []control.Incident
}

// member is an instance. Whoever has made it busy may use its process.
type member struct {
	*process

	state control.State
	since time.Time
	busy  bool
}

func newFleet() *fleet { return &fleet{} }

// take gives running instances to the fleet.
func (f *fleet) take(instances []*process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range instances {
		f.members = append(f.members, &member{process: p, state: control.Running, since: time.Now()})
	}
}

// Look implements control.Fleet.
func (f *fleet) Look() control.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	report := control.Report{Incidents: slices.Clone(f.incidents)}
	for _, m := range f.members {
		report.Instances = append(report.Instances, control.Instance{Name: m.name, Address: m.address, State: m.state})
	}
	return report
}

// Do implements control.Fleet. What it has begun it finishes, whether or not its caller
// waits for it.
func (f *fleet) Do(ctx context.Context, instance string, action control.Action) error {
	m, err := f.begin(instance, action)
	if err != nil {
		return err
	}
	state, err := m.suffer(context.WithoutCancel(ctx), action)
	f.end(m, state)
	return err
}

// begin makes an instance busy, if the action makes sense for it now.
func (f *fleet) begin(instance string, action control.Action) (*member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.members, func(m *member) bool { return m.name == instance })
	if i < 0 || !slices.Contains(control.Actions(), action) && action != control.Thaw {
		return nil, control.ErrUnknown
	}
	m := f.members[i]
	if m.busy || !possible(m.state, action) {
		return nil, control.ErrNotNow
	}
	m.busy = true
	if action == control.Restart {
		m.state = control.Starting
	}
	if len(f.incidents) == mostIncidents {
		f.incidents = slices.Delete(f.incidents, 0, 1)
	}
	f.incidents = append(f.incidents, control.Incident{At: time.Now(), Action: action, Instance: instance})
	return m, nil
}

func (f *fleet) end(m *member, state control.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m.busy, m.state, m.since = false, state, time.Now()
}

func possible(state control.State, action control.Action) bool {
	switch action {
	case control.Kill:
		return state != control.Dead
	case control.Freeze:
		return state == control.Running
	case control.Thaw:
		return state == control.Frozen
	case control.Restart:
		return true
	}
	return false
}

// suffer carries out an action, and returns what the process does afterwards.
func (m *member) suffer(ctx context.Context, action control.Action) (control.State, error) {
	switch action {
	case control.Kill:
		return control.Dead, m.kill()
	case control.Freeze:
		return control.Frozen, m.freeze()
	case control.Thaw:
		return control.Running, m.thaw()
	case control.Restart:
		if err := m.kill(); err != nil {
			return control.Dead, err
		}
		if err := m.start(ctx); err != nil {
			return control.Dead, errors.Join(err, m.kill())
		}
	}
	return control.Running, nil
}
