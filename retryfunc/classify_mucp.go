package retryfunc

import (
	"io"
	"net/http"
	"strings"

	"go-micro.dev/v4/errors"
)

// The Ids of the errors that go-micro's clients make.
const (
	clientID    = "go.micro.client"
	transportID = "go.micro.client.transport"
	codecID     = "go.micro.client.codec"
)

// classifyMucp sorts an error that go-micro's own client made on this side.
func classifyMucp(e *errors.Error) Class {
	switch e.Id {
	case clientID:
		return classifyMucpCall(e)
	case transportID:
		return classifyMucpTransport(e)
	case codecID:
		if e.Detail == io.EOF.Error() {
			return Broken // the transport drops the error of a reply that was cut before its body
		}
		return Application // not encodable, or answered and not decodable
	default:
		return classifyAnswer(e) // a call wrapper's own error
	}
}

func classifyMucpCall(e *errors.Error) Class {
	switch {
	case e.Code == http.StatusInternalServerError && strings.HasPrefix(e.Detail, "connection error: "):
		return NotSent
	case e.Code == http.StatusInternalServerError && strings.HasPrefix(e.Detail, "backoff error: "):
		return classifyBackoff(e)
	default:
		return classifyAnswer(e)
	}
}

// classifyBackoff sorts the end of a BackoffFunc: the deadline, or a refusal.
func classifyBackoff(e *errors.Error) Class {
	if strings.HasSuffix(e.Detail, "context deadline exceeded") {
		return Timeout
	}
	return Application
}

func classifyMucpTransport(e *errors.Error) Class {
	switch {
	case strings.HasSuffix(e.Detail, "i/o timeout"):
		return Timeout
	case isHTTPStatus(e.Detail):
		return Internal // something answered, in HTTP but not in mucp
	default:
		return Broken
	}
}

// isHTTPStatus reports whether text begins as the transport reports an HTTP
// status other than 200, such as "502 Bad Gateway: …".
func isHTTPStatus(text string) bool {
	if len(text) < 4 || text[3] != ' ' {
		return false
	}
	for i := range 3 {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// saysCanceled reports whether e is how a go-micro client says that the caller
// gave up. It says so with 408, the code of a timeout, or, where grpc said it
// first, with 500.
func saysCanceled(e *errors.Error) bool {
	if e.Id != clientID || !strings.HasSuffix(e.Detail, "context canceled") {
		return false
	}
	return e.Code == http.StatusRequestTimeout || e.Code == http.StatusInternalServerError
}

// isNoNode reports whether e is how a go-micro client says that it found
// nobody to call.
func isNoNode(e *errors.Error) bool {
	if e.Id != clientID || e.Code != http.StatusInternalServerError {
		return false
	}
	return strings.HasPrefix(e.Detail, "service ") && strings.HasSuffix(e.Detail, ": not found") ||
		strings.HasPrefix(e.Detail, "error selecting ") || strings.HasPrefix(e.Detail, "error getting next ")
}

// namesService reports whether the no-node error e speaks of service, and not
// of one that the callee itself looked for in vain.
func namesService(e *errors.Error, service string) bool {
	text := e.Detail
	for _, prefix := range [...]string{"service ", "error selecting ", "error getting next "} {
		text = strings.TrimPrefix(text, prefix)
	}
	text, found := strings.CutPrefix(text, service)
	return service != "" && found && (strings.HasPrefix(text, ": ") || strings.HasPrefix(text, " node: "))
}

func isUnsupportedCodec(e *errors.Error) bool {
	return e.Id == clientID && e.Code == http.StatusInternalServerError &&
		strings.HasPrefix(e.Detail, "unsupported Content-Type: ")
}
