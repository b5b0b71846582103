// Package genproto holds the module to a google.golang.org/genproto from after
// its division. go-micro requires one from before, whose packages are also in
// the newer modules below googleapis: with both in a build, go mod tidy finds
// their import ambiguous. The older alone would bring a hundred modules of
// Google's cloud into the graph of everybody who links grpc. What this module
// requires, its users get; they do not get this package, which nobody imports.
package genproto

import (
	_ "google.golang.org/genproto/googleapis/api/annotations" // what go-micro's grpc plugins need of it
	_ "google.golang.org/genproto/googleapis/type/date"       // of the module as it is since
)
