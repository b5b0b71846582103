package selectorx

import (
	"reflect"

	"go-micro.dev/v4/selector"
)

// strategyKind tells strategies apart whose ways are known.
type strategyKind uint8

const (
	strategyOther    strategyKind = iota
	strategyRandom                // go-micro's Random, or none
	strategyStepping              // go-micro's RoundRobin: looks at all nodes, changes nothing
	strategyTurns                 // NewRoundRobin
	strategyBalance               // a Flat's own
	strategyCall                  // of a Call
	strategyChoice                // of a Choice
)

// samples tells whether a node can be drawn without a look at all of them.
func (k strategyKind) samples() bool {
	return k == strategyRandom || k == strategyTurns || k == strategyBalance
}

// careful tells whether the strategy leaves what it is given as it is.
func (k strategyKind) careful() bool { return k != strategyOther }

// strategyCodes tells the kinds of strategies by their code. It is made once for each
// Flat, since to ask for the code of a method allocates. Nil knows only Random.
type strategyCodes struct{ stepping, turns, balance, call, choice uintptr }

func newStrategyCodes() *strategyCodes {
	return &strategyCodes{
		stepping: codeOf(selector.RoundRobin),
		turns:    codeOf((*roundRobin)(nil).strategy),
		balance:  codeOf((*Flat)(nil).balance),
		call:     codeOf((*Call)(nil).run),
		choice:   codeOf((*Choice)(nil).strategy),
	}
}

func codeOf(strategy selector.Strategy) uintptr { return reflect.ValueOf(strategy).Pointer() }

func (c *strategyCodes) kindOf(strategy selector.Strategy) strategyKind {
	if strategy == nil {
		return strategyRandom
	}
	code := codeOf(strategy)
	if code == codeOf(selector.Random) {
		return strategyRandom
	}
	if c == nil {
		return strategyOther
	}
	switch code {
	case c.stepping:
		return strategyStepping
	case c.turns:
		return strategyTurns
	case c.balance:
		return strategyBalance
	case c.call:
		return strategyCall
	case c.choice:
		return strategyChoice
	default:
		return strategyOther
	}
}
