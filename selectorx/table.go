package selectorx

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"go-micro.dev/v4/registry"
)

// table is what a feed has learnt of its service. It belongs to the feed's goroutine.
type table struct {
	versions map[string]*version
	loads    map[string]*nodeLoad // by address
	nodes    int
	round    int // counts replacements and snapshots, to mark what was seen in each
}

// version is one version of the service.
type version struct {
	about registry.Service // without nodes
	nodes []listed
	at    map[string]int // key of a node → its place
	seen  int
}

type listed struct {
	node *registry.Node
	load *nodeLoad
	seen int
}

func newTable() *table {
	return &table{versions: make(map[string]*version), loads: make(map[string]*nodeLoad)}
}

// replace makes services all that there is, and tells whether that changes anything.
// Nodes that joined since did so at the given time.
func (t *table) replace(services []*registry.Service, joined time.Duration) bool {
	changed := t.merge(services, joined)
	for name, v := range t.versions {
		if v.seen == t.round {
			changed = t.sweep(v) || changed
			continue
		}
		t.drop(name, v)
		changed = true
	}
	return changed
}

// merge adds services to what there is, and tells whether that changes anything.
func (t *table) merge(services []*registry.Service, joined time.Duration) (changed bool) {
	t.round++
	for _, service := range services {
		if service == nil {
			continue
		}
		v := t.versions[service.Version]
		if v == nil {
			v = &version{at: make(map[string]int)}
			t.versions[service.Version] = v
		}
		v.seen = t.round
		changed = v.describe(service) || changed
		for _, node := range service.Nodes {
			changed = t.put(v, node, joined) || changed
		}
	}
	return changed
}

// describe takes over what a service says of itself.
func (v *version) describe(service *registry.Service) (changed bool) {
	if v.about.Name == service.Name && maps.Equal(v.about.Metadata, service.Metadata) &&
		reflect.DeepEqual(v.about.Endpoints, service.Endpoints) {
		return false
	}
	v.about = registry.Service{
		Name: service.Name, Version: service.Version, Metadata: maps.Clone(service.Metadata),
		Endpoints: slices.Clone(service.Endpoints),
	}
	return true
}

// put adds a node, or replaces the one of the same name. A node without an address
// cannot be called, and is left out.
func (t *table) put(v *version, node *registry.Node, joined time.Duration) (changed bool) {
	if !isUsable(node) {
		return false
	}
	i, ok := v.at[keyOf(node)]
	if !ok {
		i = len(v.nodes)
		v.at[keyOf(node)] = i
		v.nodes = append(v.nodes, listed{})
		t.nodes++
	}
	entry := &v.nodes[i]
	entry.seen = t.round
	if ok && entry.node.Address == node.Address && maps.Equal(entry.node.Metadata, node.Metadata) {
		return false
	}
	old := entry.load
	entry.load = t.hold(node.Address, joined)
	if old != nil {
		t.release(entry.node.Address, old)
	}
	entry.node = &registry.Node{Id: node.Id, Address: node.Address, Metadata: maps.Clone(node.Metadata)}
	return true
}

func keyOf(node *registry.Node) string {
	if node.Id == "" {
		return node.Address
	}
	return node.Id
}

// hold returns the load of an address for one more node that has it.
func (t *table) hold(address string, joined time.Duration) *nodeLoad {
	load := t.loads[address]
	if load == nil {
		load = &nodeLoad{joined: joined}
		t.loads[address] = load
	}
	load.refs++
	return load
}

func (t *table) release(address string, load *nodeLoad) {
	if load.refs--; load.refs == 0 {
		delete(t.loads, address)
	}
}

// sweep removes the nodes of a version that were not seen in this round.
func (t *table) sweep(v *version) (changed bool) {
	for i := 0; i < len(v.nodes); {
		if v.nodes[i].seen == t.round {
			i++
			continue
		}
		t.remove(v, i)
		changed = true
	}
	return changed
}

// remove removes a node; the last one takes its place.
func (t *table) remove(v *version, i int) {
	gone, last := v.nodes[i], len(v.nodes)-1
	delete(v.at, keyOf(gone.node))
	if i < last {
		v.nodes[i] = v.nodes[last]
		v.at[keyOf(v.nodes[i].node)] = i
	}
	v.nodes[last] = listed{}
	v.nodes = v.nodes[:last]
	t.nodes--
	t.release(gone.node.Address, gone.load)
}

func (t *table) drop(name string, v *version) {
	for len(v.nodes) > 0 {
		t.remove(v, len(v.nodes)-1)
	}
	delete(t.versions, name)
}

// delete removes the nodes of a service, or all there are if it names none, and tells
// whether that changes anything.
func (t *table) delete(service *registry.Service) (changed bool) {
	if len(service.Nodes) == 0 {
		changed = len(t.versions) > 0
		for name, v := range t.versions {
			t.drop(name, v)
		}
		return changed
	}
	v := t.versions[service.Version]
	if v == nil {
		return false
	}
	for _, node := range service.Nodes {
		if node == nil {
			continue
		}
		if i, ok := v.at[keyOf(node)]; ok {
			t.remove(v, i)
			changed = true
		}
	}
	if len(v.nodes) == 0 {
		t.drop(service.Version, v)
	}
	return changed
}

// empties tells whether delete would leave no node of several.
func (t *table) empties(service *registry.Service) bool {
	if t.nodes < 2 {
		return false
	}
	if len(service.Nodes) == 0 {
		return true
	}
	v := t.versions[service.Version]
	if v == nil || len(v.nodes) < t.nodes {
		return false
	}
	left := len(v.nodes)
	for _, node := range service.Nodes {
		if node != nil {
			if _, ok := v.at[keyOf(node)]; ok {
				left--
			}
		}
	}
	return left <= 0
}

// snapshot returns what there is.
func (t *table) snapshot(of origin) *snapshot {
	t.round++
	services := make([]*registry.Service, 0, len(t.versions))
	members := make([]member, 0, t.nodes)
	for _, name := range slices.Sorted(maps.Keys(t.versions)) {
		v := t.versions[name]
		service := v.about
		service.Nodes = make([]*registry.Node, len(v.nodes))
		for i, entry := range v.nodes {
			service.Nodes[i] = entry.node
			if entry.load.seen != t.round {
				entry.load.seen = t.round
				members = append(members, member{entry.node, entry.load})
			}
		}
		services = append(services, &service)
	}
	return newSnapshot(services, members, of)
}
