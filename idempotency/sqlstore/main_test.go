package sqlstore

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
