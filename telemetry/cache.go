package telemetry

import "sync"

// mostMade bounds a cache: it is how many attribute sets the SDK keeps apart by default.
const mostMade = 2000

// cache keeps what is made of a key. It is safe for concurrent use; the zero value is empty.
type cache[K comparable, V any] struct {
	mu   sync.RWMutex
	made map[K]V
}

func (c *cache[K, V]) get(key K) (V, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	value, ok := c.made[key]
	return value, ok
}

// put keeps a value, unless there are too many.
func (c *cache[K, V]) put(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil {
		c.made = make(map[K]V)
	}
	if len(c.made) < mostMade {
		c.made[key] = value
	}
}
