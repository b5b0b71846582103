package sqlstore_test

import (
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// The other stores serve as fronts.
var (
	_ sqlstore.Cache = (*memstore.Store)(nil)
	_ sqlstore.Cache = (*redisstore.Store)(nil)
)
