package wrapper

import (
	"fmt"
	"sync"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// messageGuards are the guards of the subscriptions of one server.
type messageGuards struct {
	base *idempotency.Guard

	mu      sync.RWMutex
	entered map[subscribedName]enteredSubscription
}

// subscribedName is what two subscriptions of a process must not have in common.
type subscribedName struct{ topic, name string }

type enteredSubscription struct {
	subscription *subscription
	guard        *idempotency.Guard
}

// init derives what holds for messages from a service's guard: a broker delivers
// again for the sake of another try, at whatever time and in whatever order.
func (m *messageGuards) init(guard *idempotency.Guard) (err error) {
	m.entered = make(map[subscribedName]enteredSubscription)
	m.base, err = guard.With(idempotency.WithErrorPolicy(releaseErrors),
		idempotency.WithTakeover(idempotency.TakeoverRerun()), idempotency.WithReleaseMemory(0))
	return err
}

func releaseErrors(error) idempotency.Verdict { return idempotency.VerdictRelease }

// enter makes the guard of a subscription to a topic, before there are messages. The
// error says what is wrong with the subscription, or that its name is taken.
func (m *messageGuards) enter(topic string, s *subscription) error {
	name := subscribedName{topic, s.name}
	m.mu.RLock()
	_, taken := m.entered[name]
	m.mu.RUnlock()
	if taken {
		return name.taken()
	}
	_, err := m.add(name, s)
	return err
}

func (n subscribedName) taken() error {
	return fmt.Errorf("wrapper: Subscriber(%q): must be the only one of its name with topic %q: "+
		"of two, each message would be handled by one", n.name, n.topic)
}

// guardOf returns the guard of a subscription to a topic. A server that is not of
// WrapServer learns of it with the first message.
func (m *messageGuards) guardOf(topic string, s *subscription) (*idempotency.Guard, error) {
	name := subscribedName{topic, s.name}
	m.mu.RLock()
	entered, ok := m.entered[name]
	m.mu.RUnlock()
	if !ok {
		var err error
		if entered, err = m.add(name, s); err != nil {
			return nil, err
		}
	}
	if entered.subscription != s {
		return nil, name.taken()
	}
	return entered.guard, nil
}

func (m *messageGuards) add(name subscribedName, s *subscription) (enteredSubscription, error) {
	if s.err != nil {
		return enteredSubscription{}, s.err
	}
	guard, err := m.base.With(s.settings...)
	if err != nil {
		return enteredSubscription{}, fmt.Errorf("wrapper: Subscriber(%q): WithSubscriptionSettings: %w", s.name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, ok := m.entered[name]; ok {
		return before, nil
	}
	m.entered[name] = enteredSubscription{s, guard}
	return m.entered[name], nil
}
