package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress prints a line for every fault, and one a second in between.
type progress struct {
	out   io.Writer
	load  *load
	begin time.Time

	mu   sync.Mutex
	done chan struct{}
	wg   sync.WaitGroup
}

func startProgress(out io.Writer, l *load) *progress {
	p := &progress{out: out, load: l, begin: time.Now(), done: make(chan struct{})}
	p.wg.Go(p.tick)
	return p
}

func (p *progress) tick() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.event("")
		case <-p.done:
			return
		}
	}
}

// event prints what happens now.
func (p *progress) event(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := fmt.Sprintf("%6.1fs %8d calls %6d failed", time.Since(p.begin).Seconds(), p.load.next.Load(), p.load.failed.Load())
	if what != "" {
		line += "   " + what
	}
	fmt.Fprintln(p.out, line)
}

// stop returns when nothing more will be printed.
func (p *progress) stop() {
	close(p.done)
	p.wg.Wait()
}
