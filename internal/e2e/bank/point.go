package bank

// The points that a process passes, each under the idempotency key of the call.
const (
	// Arrived: the request is in the process, and nothing has been done.
	Arrived = "arrived"
	// Running: the store answered that somebody else executes the call.
	Running = "running"
	// Before: the handler runs, and has not done its work.
	Before = "before the work"
	// Worked: the handler has written its row. In a transactional store it is
	// not committed.
	Worked = "worked"
	// Left: the handler is about to return, or has been told to fail.
	Left = "left"
	// Completing: the store is about to be told the answer.
	Completing = "completing"
	// Completed: the store has been told, and the guard does not know yet.
	Completed = "completed"
	// Answered: the reply is about to leave.
	Answered = "answered"
)

// Event is the point that a process passes when its guard reports an event, for
// those kinds that need somebody's attention.
func Event(kind string) string { return "event: " + kind }

// What a test may have a handler told at Before and at Worked.
const (
	// Refuse has the handler answer that nothing has happened, and why not.
	Refuse = "refuse"
	// Fail has the handler fail with a 500.
	Fail = "fail"
)
