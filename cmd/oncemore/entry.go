package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// object is an entry in JSON. A time that is not known is left out.
type object struct {
	StoreKey    string        `json:"store_key"`
	State       string        `json:"state"`
	Service     string        `json:"service,omitempty"`
	Endpoint    string        `json:"endpoint,omitempty"`
	Caller      string        `json:"caller,omitempty"`
	Key         string        `json:"key,omitempty"`
	Instance    string        `json:"instance,omitempty"`
	Owner       string        `json:"owner,omitempty"`
	Fence       uint64        `json:"fence"`
	ClaimedAt   time.Time     `json:"claimed_at,omitzero"`
	LeaseUntil  time.Time     `json:"lease_until,omitzero"`
	EndedAt     time.Time     `json:"ended_at,omitzero"`
	ExpiresAt   time.Time     `json:"expires_at,omitzero"`
	Fingerprint string        `json:"fingerprint,omitempty"`
	Record      *recordObject `json:"record,omitempty"`
}

// recordObject is a record in JSON. Reply is shown to who asks for it.
type recordObject struct {
	Content string `json:"content"`
	Bytes   int    `json:"bytes"`
	SHA256  string `json:"sha256"`
	Code    int32  `json:"code,omitempty"`
	ID      string `json:"id,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Reply   any    `json:"reply,omitempty"`
	Damage  string `json:"damage,omitempty"`
}

func objectOf(e idempotency.Entry) object {
	o := object{
		StoreKey: e.Key.String(), State: e.State.String(), Service: e.Scope.Service, Endpoint: e.Scope.Endpoint,
		Caller: e.Scope.Caller, Key: e.Scope.Key, Instance: e.Instance, Fence: e.Fence,
		ClaimedAt: e.ClaimedAt, LeaseUntil: e.LeaseUntil, EndedAt: e.EndedAt, ExpiresAt: e.ExpiresAt,
	}
	if e.Owner != (idempotency.Owner{}) {
		o.Owner = e.Owner.String()
	}
	if !e.Fingerprint.IsZero() {
		o.Fingerprint = e.Fingerprint.String()
	}
	return o
}

// recordOf describes a record; with its reply, if it is to be shown.
func recordOf(raw []byte, withReply bool) *recordObject {
	sum := sha256.Sum256(raw)
	o := &recordObject{Bytes: len(raw), SHA256: hex.EncodeToString(sum[:])}
	record, err := idempotency.DecodeRecord(raw)
	if err != nil {
		o.Content, o.Damage = "damaged", err.Error()
		return o
	}
	switch record.Content {
	case idempotency.ContentNone:
		o.Content = "no reply"
	case idempotency.ContentError:
		o.Content, o.Code, o.ID = "error", record.Err.Code, record.Err.ID
		if withReply {
			o.Detail = record.Err.Detail
		}
	case idempotency.ContentDropped:
		o.Content, o.Detail = "reply not kept", string(record.Body)
	case idempotency.ContentProto:
		o.Content = "protobuf"
		if withReply {
			o.Reply = record.Body // in base64
		}
	case idempotency.ContentJSON:
		o.Content = "json"
		if withReply {
			o.Reply = json.RawMessage(record.Body)
		}
	}
	return o
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// printable returns s as it can be shown on a terminal: a caller or a path comes
// from outside.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.ContainsRune(s, unicode.ReplacementChar) {
		return strconv.Quote(s)
	}
	return s
}

// describe writes an entry for people to read.
func describe(w io.Writer, o object) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, printable(value))
		}
	}
	line("store key", o.StoreKey)
	line("state", o.State)
	line("service", o.Service)
	line("endpoint", o.Endpoint)
	line("caller", o.Caller)
	line("key", o.Key)
	line("instance", o.Instance)
	line("owner", o.Owner)
	line("fence", strconv.FormatUint(o.Fence, 10))
	for _, at := range []struct {
		name string
		time time.Time
	}{{"claimed at", o.ClaimedAt}, {"lease until", o.LeaseUntil}, {"ended at", o.EndedAt}, {"expires at", o.ExpiresAt}} {
		if !at.time.IsZero() {
			line(at.name, at.time.UTC().Format(time.RFC3339))
		}
	}
	line("fingerprint", o.Fingerprint)
	if r := o.Record; r != nil {
		line("record", fmt.Sprintf("%s, %d bytes, SHA-256 %s", r.Content, r.Bytes, r.SHA256))
		if r.Content == "error" {
			line("error", fmt.Sprintf("%d %s", r.Code, r.ID))
		}
		line("detail", r.Detail)
		line("damage", r.Damage)
		switch reply := r.Reply.(type) {
		case json.RawMessage:
			line("reply", string(reply))
		case []byte:
			line("reply", hex.EncodeToString(reply))
		}
	}
	return table.Flush()
}
