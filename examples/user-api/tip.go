package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/idempotency"
)

// longestTip is the most that the body of a tip may be, in bytes.
const longestTip = 4 << 10

// tipBody is the body of POST /user/tip.
type tipBody struct {
	Student     string `json:"student"`
	AmountCents int64  `json:"amount_cents"`
}

// tipReply is what it is answered with.
type tipReply struct {
	TransferID   string `json:"transfer_id"`
	BalanceCents int64  `json:"balance_cents"`
}

// tip passes the browser's key on, so that a tip that is sent again, by the
// browser, by this server's client or by a network, is the same tip.
func (a *api) tip(c *gin.Context) {
	body, err := parseTip(c.Request, http.MaxBytesReader(c.Writer, c.Request.Body, longestTip))
	key, issued, bad := a.keyOf(c.Request)
	if bad != nil {
		bad.answer(c)
		return
	}
	if err != nil {
		failure{status: http.StatusBadRequest, message: "body: " + err.Error()}.answer(c)
		return
	}
	ctx := a.caller.carryKey(c.Request.Context(), key)
	if !issued.IsZero() {
		ctx = idempotency.WithIssued(ctx, issued)
	}
	ctx, replayed := watchReplay(ctx)
	var reply *hello.TipReply
	took, err := a.call(ctx, c, func(ctx context.Context) (err error) {
		reply, err = a.wallet.Tip(ctx, &hello.TipRequest{Student: body.Student, AmountCents: body.AmountCents})
		return err
	})
	if replayed() {
		c.Header(idempotency.HeaderReplayed, "true")
	}
	if err != nil {
		failureOf(err, took.report).ofWrite().answer(c)
		return
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "tip", slog.String("transfer", reply.GetTransferId()), slog.Int("attempts", took.attempts))
	if a.page != nil {
		a.page.Acknowledge(key)
	}
	done := tipReply{TransferID: reply.GetTransferId(), BalanceCents: reply.GetBalanceCents()}
	if again := a.answered.before(key); wantsPage(c.Request) {
		done.thank(c, again || replayed())
		return
	}
	c.JSON(http.StatusOK, done)
}

// parseTip reads the body, of a program or of the form. The latter has the key in it.
func parseTip(r *http.Request, body io.Reader) (tipBody, error) {
	text := bufio.NewReader(body)
	if isForm(r, text) {
		return takeForm(r, text)
	}
	var t tipBody
	decoder := json.NewDecoder(text)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil {
		return tipBody{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return tipBody{}, errors.New("one JSON object must be all there is")
	}
	return t, nil
}
