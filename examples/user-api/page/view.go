package page

import (
	"context"

	"github.com/oncemore-dev/oncemore/examples/internal/control"
)

// view is what a browser is told: everything at first, then what has changed.
type view struct {
	Now int64 `json:"now"`
	// Observed tells whether anything is known of calls.
	Observed bool `json:"observed"`
	// Actions are what the buttons do; none without a runner.
	Actions   []control.Action `json:"actions"`
	Totals    totals           `json:"totals"`
	Instances []instance       `json:"instances"`
	Calls     []call           `json:"calls"`
	Points    []point          `json:"points"`
	Marks     []mark           `json:"marks"`
	// Tips is nil where the ledger cannot be read.
	Tips *tips `json:"tips"`
	// Troubles are why something is not shown that should be.
	Troubles []string `json:"troubles"`
}

// instance is one of hello-srv.
type instance struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	// Process is what the runner says of it; empty without one.
	Process control.State `json:"process"`
	Circuit string        `json:"circuit"`
	// Since is when the circuit was last opened or closed; 0 for one that never was.
	Since int64 `json:"since"`
	// Attempts is how many it had lately, and Share which part that is of all.
	Attempts int     `json:"attempts"`
	Share    float64 `json:"share"`
}

// look returns what happened since, and how far that is.
func (p *Page) look(ctx context.Context, since cursor) (view, cursor) {
	v := view{Observed: p.observed, Actions: []control.Action{}, Troubles: []string{}}
	for _, address := range p.nodes {
		v.Instances = append(v.Instances, instance{Name: address, Address: address})
	}
	incidents := p.askRunner(ctx, &v)
	p.askLedger(ctx, &v)
	next := p.history.read(&v, since)
	for _, i := range incidents {
		if !i.At.Before(since.at) {
			v.Marks = append(v.Marks, mark{At: i.At.UnixMilli(), What: string(i.Action), Instance: i.Instance})
		}
	}
	return v, next
}

// askRunner enters what the runner says of the instances, if there is one.
func (p *Page) askRunner(ctx context.Context, v *view) []control.Incident {
	if p.control == nil {
		return nil
	}
	report, err := p.fleet.get(ctx, p.control.Look)
	if err != nil {
		v.Troubles = append(v.Troubles, "the runner does not answer: "+err.Error())
		return nil
	}
	v.Actions, v.Instances = control.Actions(), nil
	for _, i := range report.Instances {
		v.Instances = append(v.Instances, instance{Name: i.Name, Address: i.Address, Process: i.State})
	}
	return report.Incidents
}

// askLedger enters what it holds, if it can be read.
func (p *Page) askLedger(ctx context.Context, v *view) {
	if p.ledger == nil {
		return
	}
	found, err := p.audit.get(ctx, func(ctx context.Context) (tips, error) { return p.acknowledged.audit(ctx, p.ledger) })
	if err != nil {
		v.Troubles = append(v.Troubles, "the ledger cannot be read: "+err.Error())
		return
	}
	v.Tips = &found
}
