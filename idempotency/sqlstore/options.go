package sqlstore

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Options are the settings of a [Store], made by the functions of type
// [Option].
type Options struct {
	kind          Dialect
	schema        string
	schemaSet     bool
	tablePrefix   string
	detached      bool
	migrated      bool
	txOptional    bool
	cache         Cache
	cacheSet      bool
	maxWaiters    int
	waitersSet    bool
	sweepInterval time.Duration
	logger        *slog.Logger
}

// settings lets the store embed its options without exporting them.
type settings = Options

// Option changes one setting of a [Store].
type Option func(*Options)

// WithDialect says what database it is. By default the database is asked,
// which needs its permission to call version().
func WithDialect(d Dialect) Option { return func(o *Options) { o.kind = d } }

// WithSchema says which schema the tables are in; on MySQL, which database. It
// must exist. Default: where the names of the tables lead when [New] is called;
// on PostgreSQL that is the first schema of the search_path that has them, else
// the first of all. SQLite has none to choose.
func WithSchema(name string) Option {
	return func(o *Options) { o.schema, o.schemaSet = name, true }
}

// WithTablePrefix sets what the names of the tables begin with, so that several
// stores can share a schema: 1 to 40 letters, digits and underscores, no digit
// first. Default "oncemore_", for oncemore_record and oncemore_meta.
func WithTablePrefix(prefix string) Option { return func(o *Options) { o.tablePrefix = prefix } }

// WithDetached makes the store keep claims and records in transactions of their
// own: the handler's writes do not commit together with its record, a claim
// has a lease, and an owner that dies leaves an orphan. It is for handlers
// whose work is somewhere else. Default: transactional.
func WithDetached() Option { return func(o *Options) { o.detached = true } }

// WithMigrate makes [New] create or upgrade the tables first, see [Migrate].
// Default: the tables must be there.
func WithMigrate() Option { return func(o *Options) { o.migrated = true } }

// WithTxOptional accepts handlers that succeed without a statement on [Tx], as
// if each had called [NoWrites]. Then nothing tells a handler that writes past
// its transaction from one that writes nothing. Default: [ErrTxUnused] for an
// endpoint that was declared to be keyed, a warning for others.
func WithTxOptional() Option { return func(o *Options) { o.txOptional = true } }

// WithCache puts a cache of records in front of the database: replays that it
// knows cost no query. Default: none.
func WithCache(front Cache) Option {
	return func(o *Options) { o.cache, o.cacheSet = front, true }
}

// WithMaxWaiters bounds how many claims of this store may wait in the database
// at a time, each on a connection of its own, for executions in other
// processes. Further ones queue in this process, without a connection. Default
// half of the pool without one (see sql.DB.SetMaxOpenConns), or 32 where it has no limit;
// at least 1. Two connections are left to others, one of them to executions. A
// detached store does not wait in the database.
func WithMaxWaiters(n int) Option {
	return func(o *Options) { o.maxWaiters, o.waitersSet = n, true }
}

// WithSweepInterval sets the mean pause between two sweeps of expired rows,
// see [Store.Sweep]; each pause is between half and one and a half of it, so
// that instances do not sweep in step. With 0 the store does not sweep by
// itself. Default 5 min.
func WithSweepInterval(d time.Duration) Option { return func(o *Options) { o.sweepInterval = d } }

// WithLogger sets where failures go that no caller can be told: those of
// sweeps and of the cache. Default slog.Default.
func WithLogger(logger *slog.Logger) Option { return func(o *Options) { o.logger = logger } }

func newOptions(options []Option) (Options, error) {
	o := Options{tablePrefix: defaultPrefix, sweepInterval: 5 * time.Minute, logger: slog.Default()}
	for i, option := range options {
		if option == nil {
			return o, fmt.Errorf("sqlstore: option %d is nil: leave it out instead", i)
		}
		option(&o)
	}
	return o, errors.Join(o.checkPlace(), o.check())
}

func (o *Options) checkPlace() error {
	switch {
	case o.kind > SQLite:
		return fmt.Errorf("sqlstore: WithDialect(%v): must be MySQL, PostgreSQL or SQLite", o.kind)
	case o.schemaSet && !isSchema(o.schema):
		return fmt.Errorf("sqlstore: WithSchema(%q): must be the name of a schema, 1 to 64 bytes", o.schema)
	case o.schemaSet && o.kind == SQLite:
		return errNoSchema
	case !isPrefix(o.tablePrefix):
		return fmt.Errorf("sqlstore: WithTablePrefix(%q): must be 1 to 40 letters, digits and underscores, no digit first",
			o.tablePrefix)
	}
	return nil
}

func (o *Options) check() error {
	switch {
	case o.cacheSet && o.cache == nil:
		return errors.New("sqlstore: WithCache(nil): must be given a cache")
	case o.waitersSet && o.maxWaiters < 1:
		return fmt.Errorf("sqlstore: WithMaxWaiters(%d): must be at least 1", o.maxWaiters)
	case o.detached && o.txOptional:
		return errors.New("sqlstore: WithTxOptional() with WithDetached(): leave it out: there is no transaction for handlers to use")
	case o.detached && o.waitersSet:
		return errors.New("sqlstore: WithMaxWaiters() with WithDetached(): leave it out: no claim waits in the database")
	case o.sweepInterval < 0:
		return fmt.Errorf("sqlstore: WithSweepInterval(%v): must be at least 0", o.sweepInterval)
	case o.logger == nil:
		return errors.New("sqlstore: WithLogger(nil): must be given a logger")
	}
	return nil
}
