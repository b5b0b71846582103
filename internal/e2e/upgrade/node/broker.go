package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync"

	"go-micro.dev/v4/broker"
)

// topic is what the messages are about.
const topic = "tips"

// wire is a broker whose messages a test carries from process to process.
type wire struct {
	mu       sync.Mutex
	handlers []broker.Handler
	message  string // the last one
}

// last returns the last message that was published.
func (w *wire) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.message
}

var errNobody = errors.New("nobody subscribes")

// deliver has each subscriber handle a message that came from another process.
func (w *wire) deliver(text string) error {
	w.mu.Lock()
	handlers := w.handlers
	w.mu.Unlock()
	body, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	if len(handlers) == 0 {
		return errNobody
	}
	for _, handle := range handlers {
		m := new(broker.Message)
		if err := json.Unmarshal(body, m); err != nil {
			return err
		}
		if err := handle(&event{m}); err != nil {
			return err
		}
	}
	return nil
}

// Publish keeps the message.
func (w *wire) Publish(_ string, m *broker.Message, _ ...broker.PublishOption) error {
	text, err := json.Marshal(m)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.message = base64.StdEncoding.EncodeToString(text)
	return err
}

// Subscribe adds a subscriber.
func (w *wire) Subscribe(_ string, h broker.Handler, _ ...broker.SubscribeOption) (broker.Subscriber, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handlers = append(w.handlers, h)
	return subscription{}, nil
}

func (w *wire) Init(...broker.Option) error { return nil }
func (w *wire) Options() broker.Options     { return broker.Options{} }
func (w *wire) Address() string             { return "127.0.0.1:0" }
func (w *wire) Connect() error              { return nil }
func (w *wire) Disconnect() error           { return nil }
func (w *wire) String() string              { return "wire" }

// event is one delivery.
type event struct{ message *broker.Message }

func (*event) Topic() string              { return topic }
func (e *event) Message() *broker.Message { return e.message }
func (*event) Ack() error                 { return nil }
func (*event) Error() error               { return nil }

// subscription lasts as long as the process.
type subscription struct{}

func (subscription) Options() broker.SubscribeOptions { return broker.SubscribeOptions{} }
func (subscription) Topic() string                    { return topic }
func (subscription) Unsubscribe() error               { return nil }
