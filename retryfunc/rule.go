package retryfunc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go-micro.dev/v4/client"
)

// Rule says how safe the endpoint of a request is to repeat. SafetyUnknown
// means that the rule has no opinion. Rules are safe for concurrent use.
type Rule func(ctx context.Context, req client.Request) Safety

// First asks the rules in order and takes the first opinion. Nil rules have
// none; without any opinion the answer is SafetyUnknown. That there is no other
// rule is an error where the rule is used; see [Inspect].
func First(rules ...Rule) Rule {
	return firstOf(slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return r == nil })).safety
}

type firstOf []Rule

func (f firstOf) safety(ctx context.Context, req client.Request) Safety {
	if req == nil && inspected(ctx, f.inspect) {
		return SafetyUnknown
	}
	for _, rule := range f {
		if safety := rule(ctx, req); safety != SafetyUnknown {
			return safety
		}
	}
	return SafetyUnknown
}

// Every gives every endpoint the same safety: for one call, as an option, or for
// a client whose callees are all alike. A safety that is unknown or does not
// exist is an error where the rule is used; see [Inspect].
func Every(safety Safety) Rule { return every(safety).safety }

type every Safety

func (e every) safety(ctx context.Context, req client.Request) Safety {
	if req == nil && inspected(ctx, e.inspect) {
		return SafetyUnknown
	}
	return Safety(e)
}

// endpointList is what Endpoints knows.
type endpointList struct {
	names []string // sorted
	known map[endpointKey]Safety
}

type endpointKey struct{ service, endpoint string }

// Endpoints is an explicit list. A key is an endpoint of any service, such as
// "Say.Hello", or of one, such as "hello-srv/Say.Hello", which wins. It is an
// error to list nothing, an empty name, or a safety that is unknown.
func Endpoints(list map[string]Safety) (Rule, error) {
	if len(list) == 0 {
		return nil, errors.New("retryfunc: Endpoints(): must list at least one endpoint")
	}
	known := make(map[endpointKey]Safety, len(list))
	for name, safety := range list {
		if strings.TrimSpace(name) == "" || strings.HasSuffix(name, "/") {
			return nil, fmt.Errorf("retryfunc: Endpoints: name %q: must be an endpoint or service/endpoint", name)
		}
		if !declared(safety) {
			return nil, fmt.Errorf("retryfunc: Endpoints: %q is %v: must be unsafe, keyed, idempotent or safe", name, safety)
		}
		known[endpointKey{endpoint: name}] = safety
		if service, endpoint, ok := strings.Cut(name, "/"); ok && service != "" {
			known[endpointKey{service, endpoint}] = safety
		}
	}
	return (&endpointList{names: slices.Sorted(maps.Keys(list)), known: known}).safety, nil
}

func (l *endpointList) safety(ctx context.Context, req client.Request) Safety {
	if req == nil && inspected(ctx, l.inspect) {
		return SafetyUnknown
	}
	if safety, ok := l.known[endpointKey{req.Service(), req.Endpoint()}]; ok {
		return safety
	}
	return l.known[endpointKey{endpoint: req.Endpoint()}]
}

// Prefixes takes endpoints for safe whose method name, the part after the last
// dot, begins with one of the given words, as "Get" in "Users.GetByID" but not
// in "Users.Getaway". A name promises nothing, so this is for those who know
// their services. It is an error to give no prefix, or one that no method's name
// has: an empty one, or one with a dot, a slash or a space.
func Prefixes(prefixes ...string) (Rule, error) {
	if len(prefixes) == 0 {
		return nil, errors.New("retryfunc: Prefixes(): must name at least one prefix")
	}
	for _, prefix := range prefixes {
		if prefix == "" {
			return nil, fmt.Errorf("retryfunc: Prefixes(%q): must not be empty", prefix)
		}
		if strings.ContainsAny(prefix, "./ ") {
			return nil, fmt.Errorf("retryfunc: Prefixes(%q): must be how a method's name begins, such as Get: "+
				"it stands behind the last dot, and has no slash and no space", prefix)
		}
	}
	return prefixList(slices.Clone(prefixes)).safety, nil
}

type prefixList []string

func (l prefixList) safety(ctx context.Context, req client.Request) Safety {
	if req == nil && inspected(ctx, l.inspect) {
		return SafetyUnknown
	}
	method := req.Endpoint()[strings.LastIndexByte(req.Endpoint(), '.')+1:]
	for _, prefix := range l {
		if rest, ok := strings.CutPrefix(method, prefix); ok && !continuesWord(rest) {
			return SafetySafe
		}
	}
	return SafetyUnknown
}

func continuesWord(rest string) bool {
	r, _ := utf8.DecodeRuneInString(rest)
	return unicode.IsLower(r)
}
