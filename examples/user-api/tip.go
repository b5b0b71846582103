package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
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
	key, err := keyOf(c.Request)
	if err != nil {
		failure{status: http.StatusBadRequest, message: err.Error()}.answer(c)
		return
	}
	body, err := parseTip(http.MaxBytesReader(c.Writer, c.Request.Body, longestTip))
	if err != nil {
		failure{status: http.StatusBadRequest, message: "body: " + err.Error()}.answer(c)
		return
	}
	var reply *hello.TipReply
	_, err = a.call(a.caller.carryKey(c.Request.Context(), key), func(ctx context.Context) (err error) {
		reply, err = a.wallet.Tip(ctx, &hello.TipRequest{Student: body.Student, AmountCents: body.AmountCents})
		return err
	})
	if err != nil {
		failureOf(err).ofWrite().answer(c)
		return
	}
	c.JSON(http.StatusOK, tipReply{TransferID: reply.GetTransferId(), BalanceCents: reply.GetBalanceCents()})
}

// keyOf returns the request's idempotency key. Two of them are as bad as none:
// nobody could say which one counts.
func keyOf(r *http.Request) (string, error) {
	values := r.Header.Values(idempotency.HeaderKey)
	if len(values) != 1 {
		return "", errors.New("the header " + idempotency.HeaderKey + " must be given once")
	}
	return idempotency.ParseKey(values[0])
}

func parseTip(body io.Reader) (tipBody, error) {
	var t tipBody
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil {
		return tipBody{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return tipBody{}, errors.New("one JSON object must be all there is")
	}
	return t, nil
}
