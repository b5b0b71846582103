package messages

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"go-micro.dev/v4/broker"
)

// queue is a broker whose subscribers to a topic share its messages: each goes
// to one of them, in turn. It keeps every message, so that a test can deliver it
// again, as a broker does that did not hear that it was handled.
type queue struct {
	mu        sync.Mutex
	handlers  map[string][]broker.Handler
	messages  map[string][]*broker.Message
	delivered map[string]int
}

func newQueue() *queue {
	return &queue{
		handlers: make(map[string][]broker.Handler), messages: make(map[string][]*broker.Message),
		delivered: make(map[string]int),
	}
}

var errNoMessage = errors.New("messages: nothing was published")

// deliver delivers the last message of a topic to the next subscriber, and
// returns what that answers.
func (q *queue) deliver(topic string) error {
	q.mu.Lock()
	messages, handlers := q.messages[topic], q.handlers[topic]
	if len(messages) == 0 || len(handlers) == 0 {
		q.mu.Unlock()
		return errNoMessage
	}
	message := messages[len(messages)-1]
	handler := handlers[q.delivered[topic]%len(handlers)]
	q.delivered[topic]++
	q.mu.Unlock()
	copied := &broker.Message{Header: maps.Clone(message.Header), Body: slices.Clone(message.Body)}
	return handler(&event{topic: topic, message: copied})
}

// Publish keeps the message; the test has it delivered.
func (q *queue) Publish(topic string, m *broker.Message, _ ...broker.PublishOption) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages[topic] = append(q.messages[topic], m)
	return nil
}

// Subscribe adds a subscriber.
func (q *queue) Subscribe(topic string, h broker.Handler, _ ...broker.SubscribeOption) (broker.Subscriber, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.handlers[topic] = append(q.handlers[topic], h)
	return subscription(topic), nil
}

func (q *queue) Init(...broker.Option) error { return nil }
func (q *queue) Options() broker.Options     { return broker.Options{} }
func (q *queue) Address() string             { return "127.0.0.1:0" }
func (q *queue) Connect() error              { return nil }
func (q *queue) Disconnect() error           { return nil }
func (q *queue) String() string              { return "queue" }

// event is one delivery.
type event struct {
	topic   string
	message *broker.Message
}

func (e *event) Topic() string            { return e.topic }
func (e *event) Message() *broker.Message { return e.message }
func (e *event) Ack() error               { return nil }
func (e *event) Error() error             { return nil }

// subscription is to a topic, and lasts as long as the test.
type subscription string

func (s subscription) Options() broker.SubscribeOptions { return broker.SubscribeOptions{} }
func (s subscription) Topic() string                    { return string(s) }
func (s subscription) Unsubscribe() error               { return nil }
