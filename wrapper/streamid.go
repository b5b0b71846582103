package wrapper

import (
	"strconv"
	"sync/atomic"

	"go-micro.dev/v4/registry"
)

// MetadataServer is the key of the node metadata under which a wrapped server
// announces that it keeps the metadata of a call from its handlers.
const MetadataServer = "oncemore"

// streamIDs gives the attempts of one client identities of their own.
//
// go-micro's mucp server tells the requests on a connection apart by this
// identity. Without one it looks for another header in the wrong case and takes
// them all for one: a request that follows another on a pooled connection may
// then fall into what is left of its predecessor, and is never executed: about
// 6 of 100,000 on healthy servers, and many more on a loaded machine.
//
// Only a server that announces MetadataServer gets one, because a plain one
// would pass it on in its own calls.
type streamIDs struct{ last atomic.Uint64 }

// streamID is the identity of the attempt about to be sent to node, or "".
func (s *call) streamID(node *registry.Node) string {
	if s.client.kind != "mucp" || node.Metadata[MetadataServer] == "" && !s.client.vouched {
		return ""
	}
	return "oncemore-" + strconv.FormatUint(s.client.streams.last.Add(1), 36)
}
