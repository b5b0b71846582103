package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// formReply is the body of GET /user/tip-form.
type formReply struct {
	Token     string    `json:"idempotency_key"`
	ExpiresAt time.Time `json:"expires_at"`
}

// tipForm gives the page that shows a form for a tip the key to submit it with,
// however often the button is pressed; a browser gets the page itself.
func (a *api) tipForm(c *gin.Context) {
	token, expires := a.tokens.issue()
	c.Header("Vary", "Accept")
	if wantsPage(c.Request) {
		c.Header("Cache-Control", "private") // for the one who goes back to it
		formPage{Title: "A tip", Token: token, Until: expires.Format("15:04")}.answer(c, http.StatusOK)
		return
	}
	c.Header("Cache-Control", "no-store") // two users must not get one form
	c.JSON(http.StatusOK, formReply{Token: token, ExpiresAt: expires.UTC()})
}

// keyOf returns the request's idempotency key, and what is wrong with it. Two
// of them are as bad as none: nobody could say which one counts.
func (a *api) keyOf(r *http.Request) (key string, issued time.Time, bad *failure) {
	values := r.Header.Values(idempotency.HeaderKey)
	if len(values) != 1 {
		return "", time.Time{}, &failure{status: http.StatusBadRequest, message: "the header " + idempotency.HeaderKey + " must be given once"}
	}
	key, err := idempotency.ParseKey(values[0])
	if err != nil {
		return "", time.Time{}, &failure{status: http.StatusBadRequest, message: err.Error()}
	}
	issued, err = a.tokens.check(key)
	switch {
	case err == nil:
		return key, issued, nil
	case errors.Is(err, errExpired):
		return "", time.Time{}, &failure{status: http.StatusPreconditionFailed, message: err.Error()}
	default:
		return "", time.Time{}, &failure{status: http.StatusBadRequest, message: err.Error()}
	}
}
