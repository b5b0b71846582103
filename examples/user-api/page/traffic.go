package page

import "time"

const (
	// trafficSeconds is how far back an instance's share of the attempts goes.
	trafficSeconds = 10
	// mostInstances is how many are known of. Of others nothing is shown.
	mostInstances = 100
)

// traffic counts the attempts at each address in each of the last seconds. Make one with
// make.
type traffic map[string]*[trafficSeconds]struct {
	second   int64
	attempts int
}

func (t traffic) add(address string, now time.Time) {
	seconds := t[address]
	if seconds == nil {
		if address == "" || len(t) >= mostInstances {
			return
		}
		seconds = new([trafficSeconds]struct {
			second   int64
			attempts int
		})
		t[address] = seconds
	}
	s := &seconds[now.Unix()%trafficSeconds]
	if s.second != now.Unix() {
		s.second, s.attempts = now.Unix(), 0
	}
	s.attempts++
}

// lately is how many attempts there were at an address.
func (t traffic) lately(address string, now time.Time) (attempts int) {
	seconds := t[address]
	if seconds == nil {
		return 0
	}
	for _, s := range seconds {
		if s.second > now.Unix()-trafficSeconds {
			attempts += s.attempts
		}
	}
	return attempts
}
