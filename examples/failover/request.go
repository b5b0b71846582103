package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// callerPatience ends a request that user-api, which promises an answer within
// 5 s, forgot.
const callerPatience = 15 * time.Second

// newHTTPClient returns a client that makes one attempt of each request, on
// connections that are kept.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: concurrency},
		Timeout:   callerPatience,
	}
}

// greeting is what GET /user/test answers.
type greeting struct {
	Message  string `json:"message"`
	Instance string `json:"instance"`
}

func greet(ctx context.Context, client *http.Client, url string) (g greeting, attempts int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/user/test", http.NoBody)
	if err != nil {
		return g, 0, err
	}
	if attempts, err = exchange(client, req, &g); err != nil {
		return g, attempts, err
	}
	if g.Message != "Hello xuxu" || g.Instance == "" {
		return g, attempts, fmt.Errorf("wrong greeting: %+v", g)
	}
	return g, attempts, nil
}

func askBalance(ctx context.Context, client *http.Client, url, student string) (attempts int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/user/balance/"+student, http.NoBody)
	if err != nil {
		return 0, err
	}
	var balance struct {
		Student      string `json:"student"`
		BalanceCents int64  `json:"balance_cents"`
	}
	if attempts, err = exchange(client, req, &balance); err != nil {
		return attempts, err
	}
	if balance.Student != student || balance.BalanceCents < 0 {
		return attempts, fmt.Errorf("wrong balance of %s: %+v", student, balance)
	}
	return attempts, nil
}

func giveTip(ctx context.Context, client *http.Client, url, student, key string) (attempts int, err error) {
	body, err := json.Marshal(map[string]any{"student": student, "amount_cents": tipCents})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/user/tip", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.GetBody = nil // net/http would repeat a request that has an Idempotency-Key
	req.Header.Set("Idempotency-Key", key)
	var tip struct {
		TransferID   string `json:"transfer_id"`
		BalanceCents int64  `json:"balance_cents"`
	}
	if attempts, err = exchange(client, req, &tip); err != nil {
		return attempts, err
	}
	if tip.TransferID == "" || tip.BalanceCents < tipCents {
		return attempts, fmt.Errorf("wrong answer to a tip of %d: %+v", tipCents, tip)
	}
	return attempts, nil
}

// exchange sends req once and decodes a 200; any other status is an error. It
// gives the number of attempts that user-api made, 0 if it does not say.
func exchange(client *http.Client, req *http.Request, answer any) (attempts int, err error) {
	rsp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rsp.Body.Close()) }()
	attempts, _ = strconv.Atoi(rsp.Header.Get("Attempts"))
	body, err := io.ReadAll(rsp.Body)
	if err != nil {
		return attempts, err
	}
	if rsp.StatusCode != http.StatusOK {
		return attempts, fmt.Errorf("%s: %s", rsp.Status, body)
	}
	return attempts, json.Unmarshal(body, answer)
}
