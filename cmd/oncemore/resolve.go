package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/oncemore-dev/oncemore/idempotency"
)

func resolveCommand() *cli.Command {
	return &cli.Command{
		Name:      "resolve",
		Usage:     "settle a key by what was found out about it",
		ArgsUsage: "STORE_KEY",
		Flags: append(append(scopeFlags(), decisionFlags()...),
			&cli.BoolFlag{Name: "executed", Usage: "the request was executed"},
			&cli.BoolFlag{Name: "not-executed", Usage: "nothing was done: the next duplicate executes"},
			&cli.StringFlag{Name: "reason", Usage: "with --executed, and no reply: how you know; duplicates are answered 410 with it"},
			&cli.StringFlag{Name: "reply", Usage: "with --executed: a `FILE` with the reply for duplicates, in JSON"},
			&cli.StringFlag{Name: "protobuf-reply", Usage: "with --executed: a `FILE` with the reply for duplicates, in protobuf's encoding"},
			&cli.StringFlag{Name: "record", Usage: "with --executed: a `FILE` with the record of an unresolved execution, as its event had it, or in base64"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			d, err := findingOf(c)
			if err != nil {
				return err
			}
			return settle(ctx, c, d)
		},
	}
}

func forgetCommand() *cli.Command {
	return &cli.Command{
		Name:      "forget",
		Usage:     "free a key as if it had never been executed",
		ArgsUsage: "STORE_KEY",
		Flags:     append(scopeFlags(), decisionFlags()...),
		Action: func(ctx context.Context, c *cli.Command) error {
			return settle(ctx, c, decision{
				finding: idempotency.NotExecuted(), name: "forget",
				effect: "free the key as if it had never been executed: the next duplicate executes",
			})
		},
	}
}

// decision is what an operator has decided about a key.
type decision struct {
	finding idempotency.Finding
	name    string // what it is, with what it says
	effect  string // what it does
}

// findingOf returns what the command line says was found out.
func findingOf(c *cli.Command) (decision, error) {
	executed, not := c.Bool("executed"), c.Bool("not-executed")
	var given []string
	for _, name := range []string{"reason", "reply", "protobuf-reply", "record"} {
		if c.IsSet(name) {
			given = append(given, name)
		}
	}
	switch {
	case executed == not:
		return decision{}, usage("say one: --executed or --not-executed")
	case not && len(given) > 0:
		return decision{}, usage("--%s does not go with --not-executed", given[0])
	case len(given) > 1:
		return decision{}, usage("--%s and --%s do not go together", given[0], given[1])
	case not:
		return decision{
			finding: idempotency.NotExecuted(), name: "not executed",
			effect: "free the key: the next duplicate executes",
		}, nil
	case len(given) == 0 || given[0] == "reason":
		reason := c.String("reason")
		if reason == "" {
			reason = "an operator found that it was executed"
		}
		return decision{
			finding: idempotency.DoneWithoutReply(reason), name: "executed: " + reason,
			effect: "make it done without a reply: duplicates are answered 410 and do not execute",
		}, nil
	}
	return withReply(given[0], c.String(given[0]))
}

func withReply(kind, path string) (decision, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return decision{}, err
	}
	var record idempotency.Record
	switch kind {
	case "reply":
		if !json.Valid(content) {
			return decision{}, usage("--reply %s: must hold JSON", path)
		}
		record = idempotency.Record{Content: idempotency.ContentJSON, Body: content}
	case "protobuf-reply":
		record = idempotency.Record{Content: idempotency.ContentProto, Body: content}
	default:
		if record, err = readRecord(content); err != nil {
			return decision{}, usage("--record %s: %w", path, err)
		}
	}
	return decision{
		finding: idempotency.DoneWithRecord(record), name: "executed: " + string(record.Encode()),
		effect: fmt.Sprintf("make it done with this answer (%s): duplicates get it", recordOf(record.Encode(), false).Content),
	}, nil
}

// readRecord reads an encoded record, as it is or in base64.
func readRecord(content []byte) (idempotency.Record, error) {
	record, err := idempotency.DecodeRecord(content)
	if err == nil {
		return record, nil
	}
	raw, textErr := base64.StdEncoding.DecodeString(strings.TrimSpace(string(content)))
	if textErr != nil {
		return idempotency.Record{}, err
	}
	return idempotency.DecodeRecord(raw)
}
