package page

import "github.com/oncemore-dev/oncemore/wrapper"

// totals are those of this process. The zero value is that of none.
type totals struct {
	Calls   int `json:"calls"`
	Failed  int `json:"failed"`
	Retried int `json:"saved_by_retry"`
	Hedged  int `json:"saved_by_hedge"`
	// Ejections of instances.
	Ejections int `json:"ejections"`
}

func (t *totals) add(e *wrapper.CallEnded) {
	t.Calls++
	if e.Err != nil {
		t.Failed++
	}
	switch e.Saved() {
	case wrapper.SavedByRetry:
		t.Retried++
	case wrapper.SavedByHedge:
		t.Hedged++
	case wrapper.SavedByNothing:
	}
}
