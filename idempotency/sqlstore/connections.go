package sqlstore

import (
	"context"
	"errors"
	"fmt"
)

// connections bounds how many of the pool's connections are held at a time, by
// executions, waiters and sweeps, so that one is left for everybody else:
// handlers that also read through the *sql.DB would otherwise wait for each
// other's connections. Nil bounds nothing.
type connections chan struct{}

// newConnections takes the size of the pool, 0 for one without a limit.
func newConnections(pool int) connections {
	if pool < 2 {
		return nil
	}
	return make(connections, pool-1)
}

var errConnections = errors.New("sqlstore: executions hold all connections of the pool but the one " +
	"that is left to others; " +
	"let it have more than there are executions at a time (sql.DB.SetMaxOpenConns)")

// take waits for a connection's turn.
func (c connections) take(ctx context.Context) error {
	if c == nil {
		return nil
	}
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errConnections, context.Cause(ctx))
	}
}

func (c connections) giveBack() {
	if c != nil {
		<-c
	}
}
