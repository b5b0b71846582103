package main

import (
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// What generated code has of Google's common types.
type generated struct {
	rule  *annotations.HttpRule
	retry *errdetails.RetryInfo
}
