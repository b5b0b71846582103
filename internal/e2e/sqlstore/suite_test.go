package sqlstore_test

import (
	"testing"

	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// All that is tested on a database, on one server for each kind.
func TestMySQL(t *testing.T)      { runSuite(t, MySQL) }
func TestPostgreSQL(t *testing.T) { runSuite(t, PostgreSQL) }
func TestSQLite(t *testing.T)     { runSuite(t, SQLite) }

func runSuite(t *testing.T, d Dialect) {
	b := startBackend(t, d)
	for _, c := range []struct {
		name    string
		run     func(t *testing.T, b *backend)
		servers bool // not on SQLite, which has no server
	}{
		{"Conformance", testConformance, false},
		{"Storm", testStorm, false},
		{"Serializable", testSerializable, true},
		{"StormOnTheStore", testStormOnTheStore, false},
		{"EveryWinnerFails", testEveryWinnerFails, false},
		{"WaitersArePooled", testWaitersArePooled, true},
		{"ConnectionsComeBackClean", testConnectionsComeBackClean, true},
		{"UnusedTransactionIsAnError", testUnusedTransactionIsAnError, false},
		{"HandlerCannotEndItsTransaction", testHandlerCannotEndItsTransaction, false},
		{"TransactionEndsWithItsHandler", testTransactionEndsWithItsHandler, false},
		{"OpenRows", testOpenRows, false},
		{"Session", testSession, false},
		{"PoolOfOneTransaction", testPoolOfOneTransaction, false},
		{"PoolCannotEndIt", testPoolCannotEndIt, false},
		{"LeftOpen", testLeftOpen, false},
		{"Mixed", testMixed, false},
		{"RowsAmongStatements", testRowsAmongStatements, false},
		{"PreparedThroughThePool", testPreparedThroughThePool, false},
		{"QueriesLeaveNothing", testQueriesLeaveNothing, false},
		{"EndedByTheHandler", testEndedByTheHandler, false},
		{"NeverCommits", testNeverCommits, false},
		{"RoomInThePool", testRoomInThePool, true},
		{"WhereTheTablesAre", testWhereTheTablesAre, false},
		{"ReadOnly", testReadOnly, false},
		{"ReadOnlyServer", testReadOnlyServer, true},
		{"OneCacheForTwoDatabases", testOneCacheForTwoDatabases, false},
		{"ResolvedInFrontToo", testResolvedInFrontToo, false},
		{"IgnoredDeadlock", testIgnoredDeadlock, true},
		{"Timeout", testTimeout, false},
		{"LostCommit", testLostCommit, true},
		{"BeginDoesNotOvertakeACommit", testBeginDoesNotOvertakeACommit, true},
		{"CancelAtEveryStep", testCancelAtEveryStep, true},
		{"LateClaim", testLateClaim, true},
		{"CutStatement", testCutStatement, true},
		{"LongWait", testLongWait, true},
		{"HostVanishes", testHostVanishes, true},
		{"Sweep", testSweep, false},
		{"SweepUnderLoad", testSweepUnderLoad, false},
		{"SweepYields", testSweepYields, true},
		{"MigrateAtOnce", testMigrateAtOnce, false},
		{"LittlePrivilege", testLittlePrivilege, true},
		{"Cache", testCache, false},
		{"New", testNew, false},
		{"ServerKilled", testServerKilled, true},
	} {
		if !c.servers || b.server != nil {
			t.Run(c.name, func(t *testing.T) { c.run(t, b) })
		}
	}
}
