// Package loglimit bounds how often one line is logged.
package loglimit

import (
	"sync"
	"time"
)

// Limit keeps what is repeated from filling the log: ten lines of one text in ten seconds.
// The zero value is ready. It is safe for concurrent use. Texts are few, and known when
// the program is written.
type Limit struct {
	mu    sync.Mutex
	lines map[string]*window
}

// window counts the lines of one text.
type window struct {
	began            time.Time
	written, leftOut int
}

const (
	windowLength = 10 * time.Second
	windowLines  = 10
)

// Allow reports whether a line may be written now, and how many of the same text
// were left out since the last one that was.
func (l *Limit) Allow(text string, now time.Time) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.lines[text]
	switch {
	case w == nil:
		if l.lines == nil {
			l.lines = make(map[string]*window)
		}
		w = &window{began: now}
		l.lines[text] = w
	case now.Sub(w.began) >= windowLength:
		w.began, w.written = now, 0
	case w.written >= windowLines:
		w.leftOut++
		return 0, false
	}
	w.written++
	leftOut, w.leftOut = w.leftOut, 0
	return leftOut, true
}
