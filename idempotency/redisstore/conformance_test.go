package redisstore

import (
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		server := servertest.StartRedis(t)
		return storetest.Harness{
			Store:    openURL(t, server.URL()),
			Other:    openURL(t, server.URL()),
			Stranger: openURL(t, server.URL(), WithPrefix("stranger:")),
			Unsorted: true,
			Skewed:   storetest.Skew(func(t *testing.T) idempotency.Store { return openURL(t, server.URL()) }),
		}
	})
}

func TestConformanceOnCluster(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		cluster := servertest.StartRedisCluster(t)
		return storetest.Harness{
			Store:    openCluster(t, cluster),
			Other:    openCluster(t, cluster),
			Stranger: openCluster(t, cluster, WithPrefix("stranger:")),
			Unsorted: true,
		}
	})
}

// TestConformanceWithReplicas shows that waiting for replicas changes no
// answer, and that what is sent twice waits too.
func TestConformanceWithReplicas(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		cluster := servertest.StartRedisCluster(t)
		return storetest.Harness{
			Store: openCluster(t, cluster, WithReplicas(1, 500*time.Millisecond)),
			Other: openCluster(t, cluster, WithReplicas(1, 500*time.Millisecond)),

			Unsorted: true,
		}
	})
}
