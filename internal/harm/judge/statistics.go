package judge

import "math"

// table is how many of the calls of each arm did something.
type table struct {
	wrapped, wrappedCalls int
	bare, bareCalls       int
}

// fewer is the probability that the wrapped arm has so few by chance, if there
// is no difference: Fisher's exact test, one-sided.
func (t table) fewer() float64 {
	p := 0.0
	for k := max(0, t.total()-t.bareCalls); k <= t.wrapped; k++ {
		p += t.probability(k)
	}
	return min(p, 1)
}

// more is the same for so many.
func (t table) more() float64 {
	p := 0.0
	for k := t.wrapped; k <= min(t.total(), t.wrappedCalls); k++ {
		p += t.probability(k)
	}
	return min(p, 1)
}

func (t table) total() int { return t.wrapped + t.bare }

// others is the table of the calls that did not.
func (t table) others() table {
	return table{t.wrappedCalls - t.wrapped, t.wrappedCalls, t.bareCalls - t.bare, t.bareCalls}
}

// sum adds tables up.
func sum(tables []table) table {
	var s table
	for _, t := range tables {
		s.wrapped, s.wrappedCalls = s.wrapped+t.wrapped, s.wrappedCalls+t.wrappedCalls
		s.bare, s.bareCalls = s.bare+t.bare, s.bareCalls+t.bareCalls
	}
	return s
}

// probability is that of k in the wrapped arm, given both sums: hypergeometric.
func (t table) probability(k int) float64 {
	return math.Exp(logChoose(t.wrappedCalls, k) + logChoose(t.bareCalls, t.total()-k) -
		logChoose(t.wrappedCalls+t.bareCalls, t.total()))
}

func logChoose(n, k int) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

// fewerInAll is fewer over several tables together: the test of Cochran, Mantel
// and Haenszel, one-sided, with continuity correction. It sees a difference that
// is small in every cell and always of the same sign.
func fewerInAll(tables []table) float64 {
	var difference, variance float64
	for _, t := range tables {
		n := float64(t.wrappedCalls + t.bareCalls)
		if n < 2 {
			continue
		}
		total := float64(t.total())
		difference += float64(t.wrapped) - float64(t.wrappedCalls)*total/n
		variance += float64(t.wrappedCalls) * float64(t.bareCalls) * total * (n - total) / (n * n * (n - 1))
	}
	if variance == 0 {
		return 1
	}
	return 0.5 * math.Erfc(-(difference+0.5)/math.Sqrt(2*variance))
}
