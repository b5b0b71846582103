package retryfunc

// Code is a short name for the reason, such as "undeclared", for the labels of metrics:
// there are as many as there are reasons, and "other" for any that is none of this
// package's. The empty reason has an empty code.
func (r Reason) Code() string {
	if r == "" {
		return ""
	}
	if code, ok := reasonCode(r); ok {
		return code
	}
	return "other"
}

func reasonCode(r Reason) (code string, ok bool) {
	for _, known := range [...]struct {
		reason Reason
		code   string
	}{
		{ReasonGranted, "granted"},
		{ReasonPolicy, "policy"},
		{ReasonAnswered, "answered"},
		{ReasonUndeclared, "undeclared"},
		{ReasonUnsafe, "unsafe"},
		{ReasonNotDone, "not_done"},
		{ReasonAttempts, "attempts"},
		{ReasonDeadline, "deadline"},
		{ReasonBudget, "budget"},
		{ReasonServer, "server"},
		{ReasonCanceled, "canceled"},
		{ReasonAbsent, "absent"},
		{ReasonOverdue, "overdue"},
		{ReasonRunning, "running"},
		{ReasonOutrun, "outrun"},
		{ReasonHedged, "hedged"},
		{ReasonHedgeUnsafe, "hedge_unsafe"},
		{ReasonHedgeShared, "hedge_shared"},
		{ReasonHedgeNowhere, "hedge_nowhere"},
		{ReasonHedgeBudget, "hedge_budget"},
		{ReasonHedgeCrowded, "hedge_crowded"},
		{ReasonHedgeSuspended, "hedge_suspended"},
		{ReasonHedgeSpared, "hedge_spared"},
		{ReasonFailing, "failing"},
	} {
		if known.reason == r {
			return known.code, true
		}
	}
	return "", false
}
