package wrapper

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go-micro.dev/v4/registry"
)

// nameSet is a set of names of endpoints.
type nameSet map[string]struct{}

func endpointNames(endpoints []*registry.Endpoint) nameSet {
	names := make(nameSet, len(endpoints))
	for _, endpoint := range endpoints {
		if endpoint.Metadata["subscriber"] == "" { // go-micro's mark of those that no call can name
			names[endpoint.Name] = struct{}{}
		}
	}
	return names
}

func (s nameSet) has(name string) bool {
	_, ok := s[name]
	return ok
}

// unknown is the error of an option that names an endpoint which is not there.
func (s nameSet) unknown(m mention) error {
	all := slices.Sorted(maps.Keys(s))
	allowed := "an endpoint that is registered, and none is"
	if len(all) > 0 {
		allowed = fmt.Sprintf("an endpoint that is registered; the nearest is %q, all are %s",
			nearestName(m.endpoint, all), strings.Join(all, ", "))
	}
	return wrongOption(m.option, fmt.Sprintf("%q", m.endpoint), allowed)
}

// nearestName is the one of names that takes the fewest changes of a character.
// There is at least one.
func nearestName(name string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int { return editDistance(name, a) - editDistance(name, b) })
}

// editDistance is Levenshtein's, without regard to case.
func editDistance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
