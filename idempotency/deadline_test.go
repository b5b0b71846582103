package idempotency

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A deadline must behave as what it stands for, whether or not somebody has
// asked for its Done channel.
func TestDeadlineBehavesAsAContext(t *testing.T) {
	type mark struct{}
	why := errors.New("why")
	for _, made := range []bool{false, true} {
		for _, test := range []struct {
			name       string
			end        func(d *deadline, leave context.CancelCauseFunc)
			err, cause error
		}{
			{"time", func(*deadline, context.CancelCauseFunc) { time.Sleep(time.Minute) }, context.DeadlineExceeded, ErrExecutionTimeout},
			{"cancelled", func(d *deadline, _ context.CancelCauseFunc) { d.end(why) }, context.Canceled, why},
			{"cancelled twice", func(d *deadline, _ context.CancelCauseFunc) { d.end(why); d.end(context.Canceled) }, context.Canceled, why},
			{"parent left", func(_ *deadline, leave context.CancelCauseFunc) { leave(why) }, context.Canceled, why},
		} {
			name := test.name
			if made {
				name += ", made before"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, leave := context.WithCancelCause(context.WithValue(t.Context(), mark{}, "value"))
					defer leave(nil)
					d := new(deadline).start(parent, time.Minute, ErrExecutionTimeout)
					defer d.end(context.Canceled)
					if made {
						d.Done()
					}
					if at, ok := d.Deadline(); !ok || !at.Equal(time.Now().Add(time.Minute)) {
						t.Errorf("deadline %v, %v", at, ok)
					}
					if d.Err() != nil || context.Cause(d) != nil || d.Value(mark{}) != "value" {
						t.Errorf("before: %v, %v, %v", d.Err(), context.Cause(d), d.Value(mark{}))
					}
					child, cancel := context.WithCancel(d)
					defer cancel()
					test.end(d, leave)
					synctest.Wait()
					for _, ctx := range []context.Context{d, child} {
						if ctx.Err() != test.err || context.Cause(ctx) != test.cause {
							t.Errorf("error %v, cause %v; want %v, %v", ctx.Err(), context.Cause(ctx), test.err, test.cause)
						}
						<-ctx.Done()
					}
					if d.Value(mark{}) != "value" {
						t.Error("the values are lost")
					}
				})
			})
		}
	}
}

func TestDeadlineCancelledBeforeItIsMade(t *testing.T) {
	why := errors.New("why")
	d := new(deadline).start(t.Context(), time.Minute, nil)
	d.end(why)
	if d.Err() != context.Canceled || context.Cause(d) != why {
		t.Errorf("error %v, cause %v", d.Err(), context.Cause(d))
	}
	<-d.Done()
}

func TestDeadlineWithoutChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d := new(deadline).start(parent, time.Minute, nil)
		defer d.end(context.Canceled)
		if at, _ := d.Deadline(); !at.Equal(time.Now().Add(time.Second)) {
			t.Errorf("deadline %v is not the parent's", at)
		}
		time.Sleep(time.Second)
		if context.Cause(d) != context.DeadlineExceeded || d.Err() != context.DeadlineExceeded {
			t.Errorf("cause %v, error %v", context.Cause(d), d.Err())
		}
	})
}
