package idempotency

import (
	"errors"
	"slices"
	"sync"
)

// callName is what calls that are counted together have in common.
type callName struct{ service, endpoint, step string }

// callCounter counts the calls that are made under one key, by their names. The
// zero value has counted none. It is safe for concurrent use.
type callCounter struct {
	mu    sync.Mutex
	name  callName // of first: most handlers call one endpoint
	first callSeries
	more  map[callName]*callSeries
}

// callSeries are the calls of one name.
type callSeries struct {
	begun      int
	running    int
	outOfOrder bool
	uncertain  []uncertainCall
}

// uncertainCall is a call that has ended, and of which its callee may have no
// record.
type uncertainCall struct {
	number      int
	fingerprint Fingerprint
	err         error // why there is none
}

// numberedCall is a call on its way.
type numberedCall struct {
	counter     *callCounter
	series      *callSeries
	fingerprint func() (Fingerprint, error)
	number      int // counted from 1
	unordered   bool
}

// begin gives a call its number: that of the call that it repeats, or else the
// next one. The error is a *StepError.
func (c *callCounter) begin(name callName, fingerprint func() (Fingerprint, error)) (numberedCall, error) {
	call := numberedCall{counter: c, fingerprint: fingerprint}
	var now uncertainCall
	repeats := c.hasUncertain(name)
	if repeats { // without the lock: the fingerprint may be a function of the user's
		now = call.uncertain()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.series(name)
	call.series = s
	var err error
	if repeats { // else it began before any of them had ended, and repeats none
		call.number, err = s.repeated(now)
	}
	if err == nil && call.number == 0 && s.outOfOrder {
		err = errOutOfOrder
	}
	if err != nil {
		return numberedCall{}, &StepError{Service: name.service, Endpoint: name.endpoint, Step: name.step, Err: err}
	}
	if call.number == 0 {
		s.begun++
		call.number, call.unordered = s.begun, s.running > 0
	}
	s.running++
	return call, nil
}

var errOutOfOrder = errors.New("idempotency: an earlier call found the record of another one under its number, " +
	"so that this one may have been executed under another number")

func (c *callCounter) outOfOrder(name callName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.series(name).outOfOrder = true
}

func (c *callCounter) hasUncertain(name callName) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.series(name).uncertain) > 0
}

// series returns the calls of a name. The counter is locked.
func (c *callCounter) series(name callName) *callSeries {
	if c.first.begun == 0 {
		c.name = name
	}
	if c.name == name {
		return &c.first
	}
	if c.more == nil {
		c.more = make(map[callName]*callSeries)
	}
	s, ok := c.more[name]
	if !ok {
		s = new(callSeries)
		c.more[name] = s
	}
	return s
}

// repeated returns the number of the uncertain call that now repeats, which then
// is uncertain no more, or 0 if it repeats none. The error says why that cannot
// be told.
func (s *callSeries) repeated(now uncertainCall) (int, error) {
	inrepeats := now.err
	for i, earlier := range s.uncertain {
		if earlier.err == nil && now.err == nil && earlier.fingerprint == now.fingerprint {
			s.uncertain = slices.Delete(s.uncertain, i, i+1)
			return earlier.number, nil
		}
		inrepeats = errors.Join(inrepeats, earlier.err)
	}
	if len(s.uncertain) == 0 {
		return 0, nil
	}
	return 0, inrepeats
}

var errNoFingerprint = errors.New("idempotency: whether it repeats an earlier one, whose outcome is not known, " +
	"cannot be told without a fingerprint")

// uncertain describes the call, for another to be compared with it.
func (n numberedCall) uncertain() uncertainCall {
	u := uncertainCall{number: n.number, err: errNoFingerprint}
	if n.fingerprint != nil {
		u.fingerprint, u.err = n.fingerprint()
	}
	return u
}

// end ends the call.
func (n numberedCall) end(ambiguous bool) {
	var ended uncertainCall
	if ambiguous {
		ended = n.uncertain()
	}
	n.counter.mu.Lock()
	defer n.counter.mu.Unlock()
	n.series.running--
	if ambiguous {
		n.series.uncertain = append(n.series.uncertain, ended)
	}
}
