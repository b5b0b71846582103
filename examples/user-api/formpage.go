package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/oncemore-dev/oncemore/idempotency"
)

//go:embed form.html
var formHTML string

// formPage is what a browser is shown: the form while there is a token, else what came
// of it.
type formPage struct {
	Title, Token, Until, Text, Transfer string
}

// wantsPage tells whether it is a browser that asks, for somebody to read the answer.
func wantsPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

func (p formPage) answer(c *gin.Context, status int) {
	page, err := template.New("form").Parse(formHTML)
	if err != nil {
		c.String(http.StatusInternalServerError, "the page is broken: %v", err)
		return
	}
	c.Status(status)
	c.Header("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(c.Writer, p); err != nil {
		_ = c.Error(err)
	}
}

// isForm tells whether a request comes from the form rather than from a program. curl -d
// says that it sends a form, too, whatever that is; no form begins with a brace.
func isForm(r *http.Request, body *bufio.Reader) bool {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return false
	}
	first, err := body.Peek(1)
	return err != nil || first[0] != '{'
}

// takeForm moves the key from the form to where programs have it, and returns the rest.
func takeForm(r *http.Request, body io.Reader) (tipBody, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return tipBody{}, err
	}
	fields, err := url.ParseQuery(string(text))
	if err != nil {
		return tipBody{}, err
	}
	amount, err := strconv.ParseInt(fields.Get("amount_cents"), 10, 64)
	if err != nil {
		return tipBody{}, fmt.Errorf("amount_cents=%q: must be a whole number of cents", fields.Get("amount_cents"))
	}
	r.Header[idempotency.HeaderKey] = fields["idempotency_key"]
	return tipBody{Student: fields.Get("student"), AmountCents: amount}, nil
}

// thank tells a browser what came of its tip: done, or done before.
func (r tipReply) thank(c *gin.Context, again bool) {
	p := formPage{Title: "Thank you", Text: fmt.Sprintf("The balance is %d cents.", r.BalanceCents), Transfer: r.TransferID}
	if again {
		p.Title = "Already done"
		p.Text = "This form was submitted before, and it is still one tip. " + p.Text
	}
	p.answer(c, http.StatusOK)
}
