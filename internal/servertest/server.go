//go:build linux

package servertest

import (
	"github.com/oncemore-dev/oncemore/internal/proctest"
)

// Server is a database server that a test owns. Kill, Stop, Freeze, Thaw and
// Restart come from proctest.Process. It is safe for concurrent use.
type Server struct {
	*proctest.Process

	address, url, dsn string
}

// Address returns the server's host:port. It stays the same across Restart.
func (s *Server) Address() string { return s.address }

// URL returns where the server is and which database to use, such as
// redis://127.0.0.1:6379/0, mysql://root@127.0.0.1:3306/oncemore or
// postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable.
func (s *Server) URL() string { return s.url }

// DSN returns the same in the form that sql.Open takes with the drivers mysql
// (go-sql-driver) and pgx; for Redis it is the URL.
func (s *Server) DSN() string { return s.dsn }
