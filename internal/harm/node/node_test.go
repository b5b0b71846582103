package node

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"testing"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, append(leak.GoMicro(), leak.MemoryRegistry()...)...)
}

func TestJournalCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if got, err := ReadJournal(path, "warm-up-"); err != nil || len(got) != 0 {
		t.Errorf("nothing was executed: got %v, %v", got, err)
	}
	for range 2 { // two instances share it
		j, err := openJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"call-1", "warm-up-1"} {
			if err := j.begin("Leaf.Work", id); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadJournal(path, "warm-up-")
	if want := map[string]int{"Leaf.Work call-1": 2}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// TestRoute finds the service in a request of each client.
func TestRoute(t *testing.T) {
	reg := registry.NewMemoryRegistry()
	for _, name := range []string{LeafService, MiddleService} {
		err := reg.Register(&registry.Service{Name: name, Nodes: []*registry.Node{{Id: "1", Address: name + ":1"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct{ header, path, want string }{
		"mucp":                {"Leaf.Work", "/", "leaf:1"},
		"grpc":                {"", "/middle.Middle/Pass", "middle:1"},
		"http":                {"", "/Leaf.Work", "leaf:1"},
		"no instance":         {"", "/Fan.Spread", ""},
		"no service of these": {"", "/other", ""},
	} {
		r := &http.Request{Header: http.Header{"Micro-Endpoint": {tt.header}}, URL: &url.URL{Path: tt.path, Host: "before"}}
		if route(reg, r); r.URL.Host != tt.want {
			t.Errorf("%s: got %q, want %q", name, r.URL.Host, tt.want)
		}
	}
}

// answering is a client whose calls are answered in a fixed way.
type answering struct {
	client.Client

	reply string
}

func (a answering) Call(_ context.Context, _ client.Request, rsp any, _ ...client.CallOption) error {
	reply, ok := rsp.(*wrapperspb.StringValue)
	if !ok {
		return fmt.Errorf("response of type %T", rsp)
	}
	reply.Value = a.reply
	return nil
}

// TestReplyOfAnother call is no answer.
func TestReplyOfAnother(t *testing.T) {
	o := Order{ID: "call-1", Size: 3}
	for reply, want := range map[string]bool{"call-1|xxx": true, "call-2|xxx": false, "call-1|xx": false, "": false} {
		err := Call(t.Context(), answering{client.NewClient(), reply}, LeafService, o)
		if got := err == nil; got != want {
			t.Errorf("reply %q: error %v, want one: %v", reply, err, !want)
		}
	}
}
