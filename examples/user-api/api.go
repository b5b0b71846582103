package main

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/examples/user-api/page"
)

// greeted is whom /user/test greets.
const greeted = "xuxu"

// api answers the routes by calling hello-srv.
type api struct {
	caller *caller
	say    hello.SayService
	wallet hello.WalletService
	tokens *tokens
	log    *slog.Logger

	answered answered
	circuits http.Handler // nil: nobody shows them
	metrics  http.Handler // likewise
	page     *page.Page   // likewise
}

func newAPI(c *caller, t *tokens, log *slog.Logger) *api {
	return &api{
		caller: c,
		tokens: t,
		log:    log,
		say:    hello.NewSayService(helloService, c.client),
		wallet: hello.NewWalletService(helloService, c.client),
	}
}

// Headers that tell what the answer took: for demonstrations.
const (
	headerAttempts = "Attempts"
	headerFailed   = "Failed-Attempts"
)

// call makes one call to hello-srv within callTimeout, and tells how many
// attempts it took; in the answer's headers also which of them failed.
func (a *api) call(ctx context.Context, c *gin.Context, do func(context.Context) error) (e effort, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ctx, taken := a.caller.watch(ctx)
	err = do(ctx)
	e = taken()
	c.Header(headerAttempts, strconv.Itoa(e.attempts))
	if len(e.failed) > 0 {
		c.Header(headerFailed, strings.Join(e.failed, ", "))
	}
	return e, err
}

// testReply is the body of GET /user/test.
type testReply struct {
	Message  string `json:"message"`
	Instance string `json:"instance"`
	Attempts int    `json:"attempts"`
}

func (a *api) test(c *gin.Context) {
	var reply *hello.HelloReply
	took, err := a.call(c.Request.Context(), c, func(ctx context.Context) (err error) {
		reply, err = a.say.Hello(ctx, &hello.HelloRequest{Name: greeted}, a.caller.reads...)
		return err
	})
	if err != nil {
		failureOf(err, took.report).answer(c)
		return
	}
	c.JSON(http.StatusOK, testReply{Message: reply.GetMessage(), Instance: reply.GetInstance(), Attempts: took.attempts})
}

// balanceReply is the body of GET /user/balance/:student.
type balanceReply struct {
	Student      string `json:"student"`
	BalanceCents int64  `json:"balance_cents"`
}

func (a *api) balance(c *gin.Context) {
	var reply *hello.BalanceReply
	took, err := a.call(c.Request.Context(), c, func(ctx context.Context) (err error) {
		reply, err = a.wallet.Balance(ctx, &hello.BalanceRequest{Student: c.Param("student")}, a.caller.reads...)
		return err
	})
	if err != nil {
		failureOf(err, took.report).answer(c)
		return
	}
	c.JSON(http.StatusOK, balanceReply{Student: reply.GetStudent(), BalanceCents: reply.GetBalanceCents()})
}
