package retryfunc

import (
	"net/http"
	"strings"

	"go-micro.dev/v4/errors"
)

// isBrokenGRPC reports whether e is what go-micro's grpc client makes of a
// refused dial or a broken connection: grpc-go says Unavailable of its own
// connections in words that begin so. A handler that relays such an error looks
// the same, which is why it is evidence of nothing better than Broken.
func isBrokenGRPC(e *errors.Error) bool {
	if e.Id != clientID || e.Code != http.StatusServiceUnavailable {
		return false
	}
	for _, text := range [...]string{
		"connection error: desc = ",
		"last connection error: ",
		"last resolver error: ",
		"error reading from server: ",
		"error reading server preface: ",
		"closing transport due to: ",
		"closing connection since ",
		"transport is closing",
		"transport: ",
		"the connection is draining",
		"the stream is rejected because server is draining the connection",
		"no active streams left to process while draining",
		"received goaway ",
		"keepalive ping failed ",
		"stream terminated by RST_STREAM ",
		"name resolver error: ",
		"no children to pick from",
		"SubConn state is not Ready",
		"connection closed before server preface received",
		"dns: ",
		"write tcp ",
		"write unix ",
		"read tcp ",
		"read unix ",
	} {
		if strings.HasPrefix(e.Detail, text) {
			return true
		}
	}
	return false
}

// classifyUnclear sorts an error that may be this side's or the peer's.
func classifyUnclear(e *errors.Error, ev Evidence) Class {
	switch {
	case isBrokenGRPC(e), isGRPCConn(e):
		return Broken
	case e.Id == clientID && e.Code == http.StatusInternalServerError &&
		strings.HasSuffix(e.Detail, "context deadline exceeded"):
		return Timeout // a BackoffFunc ran into the deadline
	case ev.Client != "grpc" && isMucpConn(e):
		return Broken // an unknown client's, or one that speaks mucp under another name
	case strings.HasPrefix(e.Detail, streamPrefix):
		return classifyStatus(strings.TrimPrefix(e.Detail, streamPrefix))
	case e.Code == 0:
		return classifyStatus(e.Detail)
	default:
		return classifyAnswer(e)
	}
}

// isGRPCConn reports whether e says that grpc had no connection to send on,
// for which go-micro has only the code 500.
func isGRPCConn(e *errors.Error) bool {
	return e.Id == clientID && e.Code == http.StatusInternalServerError &&
		(strings.HasPrefix(e.Detail, "Error sending request: ") ||
			strings.HasPrefix(e.Detail, "grpc: the client connection is closing"))
}

func isMucpConn(e *errors.Error) bool {
	if e.Code != http.StatusInternalServerError {
		return false
	}
	return e.Id == transportID && !isHTTPStatus(e.Detail) ||
		e.Id == clientID && (strings.HasPrefix(e.Detail, "connection error: ") || strings.Contains(e.Detail, "dial tcp "))
}

const (
	streamPrefix = "Error creating stream: "
	statusPrefix = "rpc error: code = "
)

// classifyStatus sorts the text of a grpc status, which is all that go-micro
// leaves of one on a stream.
func classifyStatus(text string) Class {
	code, found := strings.CutPrefix(text, statusPrefix)
	if !found {
		return Application
	}
	code, message, _ := strings.Cut(code, " desc = ")
	switch code {
	case "Canceled":
		return Canceled
	case "DeadlineExceeded":
		return Timeout
	case "Internal", "Unknown":
		return Internal
	case "Unavailable":
		if isBrokenGRPC(&errors.Error{Id: clientID, Code: http.StatusServiceUnavailable, Detail: message}) {
			return Broken
		}
		return Application
	default:
		return Application
	}
}
