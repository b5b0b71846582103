package retryfunc

import (
	"context"
	stderrors "errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"go-micro.dev/v4/errors"
)

// Evidence is what this side of the wire saw of an attempt. Text from a peer is
// never evidence. The zero value is evidence of nothing.
type Evidence struct {
	// Client is client.Client.String(): "mucp", "grpc", …; "" when unknown. It
	// must be the client that made the call, not the one that built the request.
	Client string
	// Service that was called. A [Mark] counts only when it names it.
	Service string
	// Unsent: this side knows that no byte of the request left (circuit open,
	// context ended before the dial, grpc attempt that never got a peer).
	Unsent bool
	// Answered: the peer answered (grpc header or trailer received). It wins
	// over Unsent.
	Answered bool
}

// Classify says what became of an attempt that ended in err. It knows the
// errors of go-micro's mucp and grpc clients, wrapped or not; of any other
// client it trusts neither text nor type, and never calls its errors
// [NotSent] without ev.Unsent.
//
// It is a pure function, safe for concurrent use, and allocates only to decode
// the text of an error that came over mucp.
func Classify(err error, ev Evidence) Class {
	if err == nil {
		return None
	}
	if stderrors.Is(err, context.Canceled) {
		return Canceled
	}
	e, from := trace(err, ev)
	if m, ok := markOf(e); ok {
		return classifyMark(m, e, ev)
	}
	if from == peer {
		return classifyAnswer(e)
	}
	if c := classifyBefore(e, from, ev); c != None {
		return c
	}
	if ev.Unsent {
		return NotSent
	}
	switch from {
	case local:
		return classifyMucp(e)
	case foreign:
		if c := classifyCause(err); c != None {
			return c
		}
	default:
	}
	return classifyUnclear(e, ev)
}

// classifyMark sorts the error e with the mark m. Another service's mark was
// passed on by the handler, which therefore ran: a failure of its own callee is
// its failure, and never a reason to take the call for one that did not run.
func classifyMark(m Mark, e *errors.Error, ev Evidence) Class {
	if m.Kind.OfHandler() {
		return classifyAnswer(e)
	}
	if m.Kind == MarkRelayed || m.Service == "" || m.Service != ev.Service {
		if class := classifyAnswer(e); class != Timeout {
			return class
		}
		return Internal
	}
	switch m.Kind {
	case MarkRefused:
		return Refused
	case MarkRunning:
		return Timeout
	default:
		return Application
	}
}

// classifyAnswer sorts what the peer answered, by code. A text that speaks of
// connections is the peer's own trouble: the handler ran.
func classifyAnswer(e *errors.Error) Class {
	switch {
	case e.Code == http.StatusRequestTimeout, isDeadline(e):
		return Timeout
	case e.Code == http.StatusInternalServerError, isBrokenGRPC(e):
		return Internal
	default:
		return Application
	}
}

// isDeadline reports whether e is the plain error of a handler that ran into the
// attempt's deadline, which the server knows too. grpc makes it a 408; mucp
// leaves it without a code.
func isDeadline(e *errors.Error) bool {
	return e.Code == 0 && e.Detail == context.DeadlineExceeded.Error()
}

// classifyBefore recognises errors that go-micro makes before it sends
// anything and that are not evidence of a node in trouble, and the caller's
// own end of the call. None: neither.
func classifyBefore(e *errors.Error, from origin, ev Evidence) Class {
	switch {
	case saysCanceled(e):
		return Canceled
	case isNoNode(e) && (from == local || namesService(e, ev.Service)):
		return NoNode
	case isUnsupportedCodec(e):
		return Application
	default:
		return None
	}
}

// classifyCause recognises errors of this process by their type, which does not
// travel. io.EOF is not among them: it is how a stream says that it ended well.
func classifyCause(err error) Class {
	var timeout net.Error
	switch {
	case stderrors.Is(err, context.DeadlineExceeded), stderrors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case stderrors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	case stderrors.Is(err, io.ErrUnexpectedEOF), stderrors.Is(err, net.ErrClosed),
		stderrors.Is(err, syscall.ECONNRESET), stderrors.Is(err, syscall.EPIPE):
		return Broken
	default:
		return None
	}
}
