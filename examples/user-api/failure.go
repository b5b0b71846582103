package main

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// statusClientGone is nginx's code for a client that did not wait.
const statusClientGone = 499

// failure is a failed call, said in HTTP.
type failure struct {
	status     int
	retryAfter time.Duration // 0: nothing is said
	message    string
	// ambiguous: hello-srv may have done what it was asked.
	ambiguous bool
	// unanswered: what is more, it has not said anything.
	unanswered bool
}

// failureOf says err, and what led to it, in HTTP: what hello-srv refused is the client's fault
// (4xx), what it could not do or did not answer is not (5xx).
func failureOf(err error, story wrapper.Report) failure {
	original := merrors.Parse(err.Error())
	f := failure{status: http.StatusBadGateway, message: original.Detail}
	if mark, ok := retryfunc.ParseMark(err); ok {
		switch mark.Kind {
		case retryfunc.MarkRunning, retryfunc.MarkUnknown:
			f.status, f.retryAfter = http.StatusConflict, max(mark.RetryAfter, time.Second)
			return f
		default:
			f.retryAfter = mark.RetryAfter
		}
	}
	switch classOf(err, story) {
	case retryfunc.NotSent, retryfunc.Refused, retryfunc.NoNode:
		f.status, f.retryAfter = http.StatusServiceUnavailable, max(f.retryAfter, time.Second)
		f.ambiguous = story.Ambiguous() // by an earlier attempt
		f.unanswered = f.ambiguous
	case retryfunc.Timeout:
		f.status, f.ambiguous, f.unanswered = http.StatusGatewayTimeout, true, true
	case retryfunc.Broken:
		f.ambiguous, f.unanswered = true, true
	case retryfunc.Canceled:
		f.status, f.ambiguous = statusClientGone, true
	case retryfunc.Application:
		f.status = passedOn(original.Code)
		f.ambiguous = f.status == http.StatusBadGateway
	default:
		f.ambiguous = true
	}
	return f
}

// classOf is how the last attempt ended; a call without one, or one that was
// not made through oncemore, is judged by its error.
func classOf(err error, story wrapper.Report) retryfunc.Class {
	if len(story.Attempts) > 0 {
		return story.Class()
	}
	return retryfunc.Classify(err, retryfunc.Evidence{Service: helloService})
}

// passedOn is the status for a code that hello-srv answered with: its own if it
// tells the client something, else bad gateway.
func passedOn(code int32) int {
	switch status := int(code); status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed,
		http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return status
	default:
		return http.StatusBadGateway
	}
}

// ofWrite says of a failure that leaves open whether a write happened, or
// happens still, what to do about it.
func (f failure) ofWrite() failure {
	if !f.ambiguous {
		return f
	}
	f.message = "outcome unknown, send it again with the same Idempotency-Key: " + f.message
	if f.unanswered {
		f.status, f.retryAfter = http.StatusConflict, max(f.retryAfter, time.Second)
	}
	return f
}

func (f failure) answer(c *gin.Context) {
	if f.retryAfter > 0 {
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	if wantsPage(c.Request) {
		formPage{Title: "That did not work", Text: f.message}.answer(c, f.status)
		return
	}
	c.JSON(f.status, gin.H{"error": f.message})
}
