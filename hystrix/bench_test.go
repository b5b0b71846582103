package hystrix

import (
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
)

func benchSet(b *testing.B, opts ...Option) *breaker.Set {
	b.Helper()
	m, err := NewMirror(opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	s, err := breaker.New(m.Option())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

func BenchmarkReportSuccess(b *testing.B) {
	run := func(name string, opts ...Option) {
		b.Run(name, func(b *testing.B) {
			s, start := benchSet(b, opts...), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				s.Report("10.0.0.7:8080", breaker.Success, start, time.Millisecond)
			}
		})
	}
	run("transitions only")
	run("dashboard", WithDashboard(true))
}

func BenchmarkTripAndRecover(b *testing.B) {
	s := benchSet(b)
	b.ReportAllocs()
	for b.Loop() {
		for range 2 {
			s.Report("10.0.0.7:8080", breaker.Refused, time.Now(), 0)
		}
		s.Report("10.0.0.7:8080", breaker.Success, time.Now(), 0)
	}
}
