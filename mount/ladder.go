package mount

// The costs of a ladder are counted in round trips.
const (
	costCancel = 0.5  // a session that another answer made void is cancelled, off the critical path
	costSealed = 1e12 // a blob that is not found and cannot be uploaded fails the push
	// tieBreak keeps the order of tries stable where two ladders cost the same.
	tieBreak = 1e-12
)

// rung is how far a ladder has been climbed: which tries have been answered
// with a miss. Named sources are tried in order, so a count says which.
type rung struct {
	sources          int
	check, self, any bool
}

// ladder finds the order of tries with the least expected cost for one blob.
//
// Whether the next try hits depends on what the others have missed, because
// all of them ask about the same hidden truths. So the search goes over what
// has been missed: 2 × 2 × 2 × (number of sources + 1) rungs, each with the
// probability that a blob gets there at all.
type ladder struct {
	odds
	names   []string // of the sources, in the order of odds.sources
	start   rung
	session bool // a session is open at the start
	may     [Upload + 1]bool
	upload  float64 // cost of the bytes and of the request that carries them
	memo    map[rung]choice
}

// choice is the best thing to do on a rung, and what it costs from there on.
type choice struct {
	try  Kind
	cost float64
}

// best returns what to do on rung r. Its cost is the expected cost of the
// whole rest of the ladder, given that r was reached.
func (l *ladder) best(r rung) choice {
	if c, ok := l.memo[r]; ok {
		return c
	}
	reach := l.reach(r)
	session := l.sessionAt(r)
	c := choice{Upload, l.uploadFrom(session)}
	for _, k := range [...]Kind{Check, Mount, MountSelf, MountAny} {
		next, ok := l.climb(r, k)
		if !ok {
			continue
		}
		miss := 0.0
		if reach > 0 {
			miss = l.reach(next) / reach
		}
		cost := 1 + (1-miss)*session*costCancel
		if miss > 0 {
			if k.isMount() {
				cost += miss * session * l.opensOn(k, next) * costCancel
			}
			cost += miss * l.best(next).cost
		}
		if cost < c.cost-tieBreak {
			c = choice{k, cost}
		}
	}
	l.memo[r] = c
	return c
}

// climb returns the rung above r once try k has missed, and whether k is there
// to be tried.
func (l *ladder) climb(r rung, k Kind) (rung, bool) {
	ok := l.may[k]
	switch k {
	case Check:
		ok = ok && !r.check
		r.check = true
	case Mount:
		ok = ok && r.sources < len(l.sources)
		r.sources++
	case MountSelf:
		ok = ok && !r.self
		r.self = true
	case MountAny:
		ok = ok && !r.any
		r.any = true
	}
	return r, ok
}

// uploadFrom returns what the upload costs when a session is open with the
// given probability.
func (l *ladder) uploadFrom(session float64) float64 {
	return l.upload + 1 - session
}

// sessionAt returns the probability that a session is open on rung r.
func (l *ladder) sessionAt(r rung) float64 {
	named := r.sources > l.start.sources || r.self && !l.start.self
	if l.session || named && l.opens {
		return 1
	}
	if !r.any || l.start.any {
		return 0
	}
	return l.opensOn(MountAny, r)
}

// opensOn returns the probability that try k, the last that missed before rung
// r, has opened a session.
func (l *ladder) opensOn(k Kind, r rung) float64 {
	if k != MountAny {
		if l.opens {
			return 1
		}
		return 0
	}
	reach := l.reach(r)
	if reach == 0 {
		return 1
	}
	return 1 - l.any[anyRefuses]*l.reachIf(r, anyRefuses)/reach
}

// reach returns the probability that every try of rung r misses.
func (l *ladder) reach(r rung) float64 {
	sum := 0.0
	for a, p := range l.any {
		sum += p * l.reachIf(r, anyAnswer(a))
	}
	return sum
}

// reachIf is reach on a host whose answer to a mount without a source is known.
func (l *ladder) reachIf(r rung, a anyAnswer) float64 {
	tried, all := 1.0, 1.0 // none of the sources tried, none of all sources, holds the blob
	for i, p := range l.sources {
		if i < r.sources {
			tried *= 1 - p
		}
		all *= 1 - p
	}
	named := l.mounts*tried + 1 - l.mounts

	present := named
	switch {
	case r.check, r.any && a >= anyTarget:
		present = 0
	case r.self:
		present *= 1 - l.selves
	}
	absent := named
	if r.any && a == anyEverywhere {
		absent = (1 - l.elsewhere) * all
	}
	return l.inTarget*present + (1-l.inTarget)*absent
}
