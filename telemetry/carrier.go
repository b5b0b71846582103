package telemetry

import (
	"strings"

	"go-micro.dev/v4/metadata"
)

// carrier is go-micro's metadata as propagators want it. go-micro writes its names in
// title case, and grpc in lower case.
type carrier metadata.Metadata

// Get returns the value of a name, whatever its case.
func (c carrier) Get(name string) string {
	if value, ok := c[title(name)]; ok {
		return value
	}
	for have, value := range c {
		if strings.EqualFold(have, name) {
			return value
		}
	}
	return ""
}

// Set replaces the value of a name, whatever its case was.
func (c carrier) Set(name, value string) {
	delete(c, name)
	c[title(name)] = value
}

// Keys lists the names.
func (c carrier) Keys() []string {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	return names
}

// title writes a name as go-micro does: traceparent is Traceparent.
func title(name string) string {
	if name == traceparent { // the one that each attempt has
		return "Traceparent"
	}
	if name == "" || name[0] < 'a' || name[0] > 'z' {
		return name
	}
	return string(name[0]-'a'+'A') + name[1:]
}
