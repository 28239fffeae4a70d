package mount

// The costs of a ladder are counted in round trips.
const (
	costCancel = 0.5  // a session that another answer made void is cancelled, off the critical path
	costSealed = 1e12 // a blob that is not found and cannot be uploaded fails the push
	// tieBreak, a share of the cost, keeps the order of tries stable where two
	// ladders cost the same.
	tieBreak = 1e-12
)

// rung is how far a ladder has been climbed: which tries have been answered
// with a miss. Named sources are tried in order, so a count says which.
type rung struct {
	sources          int
	check, self, any bool
}

// numRungs is how many rungs there are at most.
const numRungs = 8 * (maxSources + 1)

// index numbers the rungs.
func (r rung) index() int {
	i := r.sources * 8
	if r.check {
		i += 4
	}
	if r.self {
		i += 2
	}
	if r.any {
		i++
	}
	return i
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
	upload  float64                 // cost of the bytes and of the request that carries them
	single  bool                    // the host takes the content in the POST that opens a session
	none    [maxSources + 1]float64 // probability that none of the first so many sources holds the blob
	memo    [numRungs]choice        // by rung.index; no try where nobody has searched
}

// choice is the best thing to do on a rung, and what it costs from there on.
type choice struct {
	try  Kind
	cost float64
}

// best returns what to do on rung r. Its cost is the expected cost of the
// whole rest of the ladder, given that r was reached.
func (l *ladder) best(r rung) choice {
	if c := l.memo[r.index()]; c.try != 0 {
		return c
	}
	c := choice{Upload, l.uploadFrom(r)}
	for _, k := range [...]Kind{Check, Mount, MountSelf, MountAny} {
		if next, ok := l.climb(r, k); ok {
			if cost := l.costOf(k, r, next); cost < c.cost*(1-tieBreak) {
				c = choice{k, cost}
			}
		}
	}
	l.memo[r.index()] = c
	return c
}

// costOf returns the expected cost of try k on rung r and of all that follows
// it, when next is where a miss leads.
func (l *ladder) costOf(k Kind, r, next rung) float64 {
	reach := l.reach(r)
	if reach == 0 { // nobody gets here
		return l.uploadFrom(r)
	}
	cost := 1 + l.voided(k, r, next)/reach*costCancel
	if miss := l.reach(next) / reach; miss > 0 {
		cost += miss * l.best(next).cost
	}
	return cost
}

// costIf returns what the ladder costs if the target holds the blob with another
// probability than the one for which its tries were chosen.
func (l *ladder) costIf(inTarget float64) float64 {
	in := *l
	in.inTarget = inTarget
	cost, r := 0.0, l.start
	for in.reach(r) > 0 {
		k := l.best(r).try
		if k == Upload {
			cost += in.reach(r) * in.uploadFrom(r)
			break
		}
		next, _ := l.climb(r, k)
		cost += in.reach(r) + in.voided(k, r, next)*costCancel
		r = next
	}
	if start := in.reach(l.start); start > 0 {
		return cost / start
	}
	return l.upload
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

// uploadFrom returns what the upload costs from rung r: a request more where
// no session is open, unless the host takes the content in the POST.
func (l *ladder) uploadFrom(r rung) float64 {
	if l.single {
		return l.upload
	}
	reach, open := 0.0, 0.0
	for a, p := range l.any {
		there := p * l.reachIf(r, anyAnswer(a))
		reach += there
		if l.sessionIf(r, anyAnswer(a)) {
			open += there
		}
	}
	if reach == 0 {
		return l.upload
	}
	return l.upload + 1 - open/reach
}

// voided returns the probability that rung r is reached with a session open
// and that try k makes it void: by a hit, or by a miss that opens another.
// Whether a session is open and whether k hits may both depend on how the host
// answers a mount without a source.
func (l *ladder) voided(k Kind, r, next rung) float64 {
	sum := 0.0
	for i, p := range l.any {
		a := anyAnswer(i)
		if !l.sessionIf(r, a) {
			continue
		}
		sum += p * l.reachIf(r, a)
		if !l.opensIf(k, a) {
			sum -= p * l.reachIf(next, a)
		}
	}
	return sum
}

// sessionIf says whether a session is open on rung r, on a host whose answer
// to a mount without a source is known.
func (l *ladder) sessionIf(r rung, a anyAnswer) bool {
	named := r.sources > l.start.sources || r.self && !l.start.self
	return l.session || named && l.opens || r.any && !l.start.any && l.opensIf(MountAny, a)
}

// opensIf says whether a miss of try k opens a session on such a host.
func (l *ladder) opensIf(k Kind, a anyAnswer) bool {
	if k == MountAny {
		return a != anyRefuses
	}
	return k.isMount() && l.opens
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
	named := l.mounts*l.none[r.sources] + 1 - l.mounts
	present := named
	switch {
	case r.check, r.any && a >= anyTarget:
		present = 0
	case r.self:
		present *= 1 - l.selves
	}
	absent := named
	if r.any && a == anyEverywhere {
		absent = (1 - l.elsewhere) * l.none[len(l.sources)]
	}
	return l.inTarget*present + (1-l.inTarget)*absent
}
