package main

import (
	"context"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
)

// greeted is whom /user/test greets.
const greeted = "xuxu"

// api answers the routes by calling hello-srv.
type api struct {
	caller *caller
	say    hello.SayService
	wallet hello.WalletService
	tokens *tokens
}

func newAPI(c *caller, t *tokens) *api {
	return &api{
		caller: c,
		tokens: t,
		say:    hello.NewSayService(helloService, c.client),
		wallet: hello.NewWalletService(helloService, c.client),
	}
}

// headerAttempts tells how many attempts the answer took: for demonstrations.
const headerAttempts = "Attempts"

// call makes one call to hello-srv within callTimeout, and tells, also in the
// answer's header, how many attempts it took.
func (a *api) call(ctx context.Context, c *gin.Context, do func(context.Context) error) (attempts int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ctx, counted := a.caller.count(ctx)
	err = do(ctx)
	attempts = counted()
	c.Header(headerAttempts, strconv.Itoa(attempts))
	return attempts, err
}

// testReply is the body of GET /user/test.
type testReply struct {
	Message  string `json:"message"`
	Instance string `json:"instance"`
	Attempts int    `json:"attempts"`
}

func (a *api) test(c *gin.Context) {
	var reply *hello.HelloReply
	attempts, err := a.call(c.Request.Context(), c, func(ctx context.Context) (err error) {
		reply, err = a.say.Hello(ctx, &hello.HelloRequest{Name: greeted}, a.caller.reads...)
		return err
	})
	if err != nil {
		failureOf(err).answer(c)
		return
	}
	c.JSON(http.StatusOK, testReply{Message: reply.GetMessage(), Instance: reply.GetInstance(), Attempts: attempts})
}

// balanceReply is the body of GET /user/balance/:student.
type balanceReply struct {
	Student      string `json:"student"`
	BalanceCents int64  `json:"balance_cents"`
}

func (a *api) balance(c *gin.Context) {
	var reply *hello.BalanceReply
	_, err := a.call(c.Request.Context(), c, func(ctx context.Context) (err error) {
		reply, err = a.wallet.Balance(ctx, &hello.BalanceRequest{Student: c.Param("student")}, a.caller.reads...)
		return err
	})
	if err != nil {
		failureOf(err).answer(c)
		return
	}
	c.JSON(http.StatusOK, balanceReply{Student: reply.GetStudent(), BalanceCents: reply.GetBalanceCents()})
}
