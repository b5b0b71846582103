package main

import (
	"context"
	"fmt"
	"time"
)

// awaitInstances calls user-api until every instance has answered once: until
// it has found them all in the registry.
func awaitInstances(ctx context.Context, url string, instances int) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	seen := make(map[string]bool)
	for {
		answer, _, err := greet(ctx, client, url)
		if err == nil {
			seen[answer.Instance] = true
		}
		if len(seen) == instances {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("user-api has reached %d of %d instances in %v, lately: %w", len(seen), instances, startTime, err)
		case <-time.After(pollInterval):
		}
	}
}
