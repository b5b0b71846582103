package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

func greet(ctx context.Context, client *http.Client, url string) (g greeting, taken effort, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/user/test", http.NoBody)
	if err != nil {
		return g, effort{}, err
	}
	if taken, err = exchange(client, req, &g); err != nil {
		return g, taken, err
	}
	if g.Message != "Hello xuxu" || g.Instance == "" {
		return g, taken, fmt.Errorf("wrong greeting: %+v", g)
	}
	return g, taken, nil
}

func askBalance(ctx context.Context, client *http.Client, url, student string) (taken effort, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/user/balance/"+student, http.NoBody)
	if err != nil {
		return effort{}, err
	}
	var balance struct {
		Student      string `json:"student"`
		BalanceCents int64  `json:"balance_cents"`
	}
	if taken, err = exchange(client, req, &balance); err != nil {
		return taken, err
	}
	if balance.Student != student || balance.BalanceCents < 0 {
		return taken, fmt.Errorf("wrong balance of %s: %+v", student, balance)
	}
	return taken, nil
}

func giveTip(ctx context.Context, client *http.Client, url, student, key string) (taken effort, err error) {
	body, err := json.Marshal(map[string]any{"student": student, "amount_cents": tipCents})
	if err != nil {
		return effort{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/user/tip", bytes.NewReader(body))
	if err != nil {
		return effort{}, err
	}
	req.GetBody = nil // net/http would repeat a request that has an Idempotency-Key
	req.Header.Set("Idempotency-Key", key)
	var tip struct {
		TransferID   string `json:"transfer_id"`
		BalanceCents int64  `json:"balance_cents"`
	}
	if taken, err = exchange(client, req, &tip); err != nil {
		return taken, err
	}
	if tip.TransferID == "" || tip.BalanceCents < tipCents {
		return taken, fmt.Errorf("wrong answer to a tip of %d: %+v", tipCents, tip)
	}
	return taken, nil
}

// exchange sends req once and decodes a 200; any other status is an error.
func exchange(client *http.Client, req *http.Request, answer any) (taken effort, err error) {
	rsp, err := client.Do(req)
	if err != nil {
		return effort{}, err
	}
	defer func() { err = errors.Join(err, rsp.Body.Close()) }()
	taken = effortIn(rsp.Header)
	body, err := io.ReadAll(rsp.Body)
	if err != nil {
		return taken, err
	}
	if rsp.StatusCode != http.StatusOK {
		return taken, fmt.Errorf("%s: %s", rsp.Status, body)
	}
	return taken, json.Unmarshal(body, answer)
}
