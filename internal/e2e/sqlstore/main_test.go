// Package sqlstore_test holds sqlstore to its word on real databases, with the
// drivers that its users choose among and that it does not require itself. It
// sees of the store what they see.
package sqlstore_test

import (
	"os"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The driver logs every connection that breaks, and here that is many.
	if err := driver.SetLogger(new(driver.NopLogger)); err != nil {
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
