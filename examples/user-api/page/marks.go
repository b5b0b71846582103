package page

import "slices"

// mostMarks is how many are remembered.
const mostMarks = 100

// mark is a moment in the plot: something was done to an instance, or it was ejected.
type mark struct {
	At       int64  `json:"at"`
	What     string `json:"what"` // a control.Action, or "ejected"
	Instance string `json:"instance"`
}

const markEjected = "ejected"

// marks are the latest, oldest first. The zero value has none.
type marks []mark

func (m *marks) add(one mark) {
	if len(*m) == mostMarks {
		*m = slices.Delete(*m, 0, 1)
	}
	*m = append(*m, one)
}

// from returns those of a moment and later.
func (m *marks) from(at int64) []mark {
	some := make([]mark, 0)
	for _, one := range *m {
		if one.At >= at {
			some = append(some, one)
		}
	}
	return some
}
