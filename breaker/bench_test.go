package breaker

import (
	"fmt"
	"testing"
	"time"
)

func benchSet(b *testing.B, opts ...Option) *Set {
	b.Helper()
	s, err := New(opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

func BenchmarkReportSuccess(b *testing.B) {
	start := time.Now()
	run := func(name string, s *Set, ev Event) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Report("10.0.0.7:8080", ev, start, time.Millisecond)
			}
		})
	}
	run("healthy", benchSet(b), Success)

	others := benchSet(b)
	for i := range 100 {
		others.Report(fmt.Sprintf("10.0.1.%d:8080", i), Broken, start, time.Millisecond)
	}
	run("others failing", others, Success)
	run("event hook", benchSet(b, WithEventHook(func(string, Event, time.Time, time.Duration) {})), Success)
}

func BenchmarkReportSuccessParallel(b *testing.B) {
	s, start := benchSet(b), time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Report("10.0.0.7:8080", Success, start, time.Millisecond)
		}
	})
}

func BenchmarkReportFailureThenSuccess(b *testing.B) {
	s := benchSet(b)
	b.ReportAllocs()
	for b.Loop() {
		s.Report("10.0.0.7:8080", Broken, time.Now(), time.Millisecond)
		s.Report("10.0.0.7:8080", Success, time.Now(), time.Millisecond)
	}
}

func BenchmarkOpen(b *testing.B) {
	s := benchSet(b)
	b.Run("nothing open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Open("10.0.0.7:8080")
		}
	})
	for range 5 {
		s.Report("10.0.0.8:8080", Broken, time.Now(), time.Millisecond)
	}
	for _, address := range []string{"10.0.0.7:8080", "10.0.0.8:8080"} {
		open, _ := s.Open(address)
		b.Run(fmt.Sprintf("one open, itself=%v", open), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Open(address)
			}
		})
	}
	b.Run("one open, listing it", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range s.OpenAddresses() {
			}
		}
	})
	b.Run("probe denied", func(b *testing.B) {
		slow := benchSet(b, WithSleepWindow(time.Hour), WithThreshold(1))
		slow.Report("10.0.0.8:8080", Broken, time.Now(), time.Millisecond)
		b.ReportAllocs()
		for b.Loop() {
			slow.Probe("10.0.0.8:8080", true)
		}
	})
}
