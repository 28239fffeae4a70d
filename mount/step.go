package mount

import "github.com/opencontainers/go-digest"

// maxSources bounds how many named sources one blob is tried from.
const maxSources = 8

// Disposition is how a step ended.
type Disposition int

// The dispositions. A step ends in exactly one of them.
const (
	Undone    Disposition = iota // not ended yet
	Stands                       // the target held the blob already
	Mounted                      // linked from another repository; no byte was sent
	Uploaded                     // sent
	Skipped                      // a non-distributable layer, left where its URLs say
	Unsettled                    // failed: neither found nor sent
)

// String returns the disposition as reports write it.
func (d Disposition) String() string {
	switch d {
	case Stands:
		return "present"
	case Mounted:
		return "mounted"
	case Uploaded:
		return "uploaded"
	case Skipped:
		return "skipped"
	case Unsettled:
		return "failed"
	}
	return "undone"
}

// MarshalText writes the disposition as reports write it.
func (d Disposition) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Step is the part of a plan that settles one blob: a ladder of tries.
type Step struct {
	Blob   Blob
	odds   odds
	named  []Source // the sources of odds.sources, in the same order
	proven bool     // the registry said in this push that the target holds it
	traits Traits
	policy Policy
}

// Next returns the next try after the given outcomes of this blob, oldest
// first. It returns false when the step has ended: see [Step.Disposition].
func (s Step) Next(outcomes []Outcome) (Try, bool) {
	if s.Disposition(outcomes) != Undone {
		return Try{}, false
	}
	if try, ok := s.forced(outcomes); ok {
		return try, true
	}
	l := s.ladder(outcomes)
	return s.try(l.best(l.start).try, l, l.start), true
}

// Disposition returns how the step has ended after the given outcomes, or
// Undone when a try is left.
func (s Step) Disposition(outcomes []Outcome) Disposition {
	if s.Blob.External {
		return Skipped
	}
	open := Undone
	if s.proven {
		open = Stands
	}
	if len(outcomes) == 0 {
		return open
	}
	last := outcomes[len(outcomes)-1]
	switch Judge(s.Blob.Digest, last) {
	case Hit:
		if _, ok := s.verify(outcomes); ok {
			return Undone
		}
		return dispositionOf(s.Blob.Digest, last.Try.Kind, outcomes)
	case Failed:
		return Unsettled
	}
	if !s.proven && s.exhausted(outcomes) {
		return Unsettled
	}
	return open
}

// dispositionOf names the end of a step by the try that settled it. A Check
// after an upload or a mount whose answer was lost finds what they did.
func dispositionOf(d digest.Digest, k Kind, outcomes []Outcome) Disposition {
	switch k {
	case Upload:
		return Uploaded
	case Mount, MountAny:
		return Mounted
	}
	for _, o := range outcomes {
		if o.Try.Kind == Upload {
			return Uploaded
		}
	}
	for _, o := range outcomes {
		if v := Judge(d, o); k == Check && o.Try.Kind.places() && (v == Unsure || v == Hit) {
			return Mounted
		}
	}
	return Stands
}

// forced returns the try that the last outcome demands whatever it costs: the
// same again after a rate limit, a Check after an answer that may hide a
// success, the rest of an upload that was cut, another form after a body that was
// too large, and only uploads once the first upload has begun.
func (s Step) forced(outcomes []Outcome) (Try, bool) {
	if len(outcomes) == 0 {
		if s.policy.Strict && s.checks(nil) {
			return Try{Kind: Check}, true
		}
		return Try{}, false
	}
	last := outcomes[len(outcomes)-1]
	if s.again(outcomes) {
		return last.Try, true
	}
	if try, ok := s.verify(outcomes); ok {
		return try, true
	}
	if try, ok := s.resume(outcomes); ok {
		return try, true
	}
	switch v := Judge(s.Blob.Digest, last); {
	case v == Unsure && last.Try.Kind != Check && s.checks(outcomes):
		return Try{Kind: Check}, true
	case uploads(outcomes) > 0:
		return s.send(outcomes), true
	}
	return Try{}, false
}

// patience is how long a mount that was answered 201 may take to arrive before
// it is disbelieved, in seconds.
const patience = 1.5

// doubtful says whether a mount that is answered 201 has to be verified: on hosts
// that have answered so without mounting, and on those whose manifests would not
// show it.
func (s Step) doubtful() bool {
	phantoms, seen := s.traits.Known(Phantoms)
	validates, known := s.traits.Known(Validates)
	return (seen && phantoms || known && !validates) && !s.policy.Force
}

// verify returns what makes sure of a doubtful mount: a Check, another after a
// pause, and then the blob is sent.
func (s Step) verify(outcomes []Outcome) (Try, bool) {
	if !s.doubtful() {
		return Try{}, false
	}
	checks := 0
	for i := len(outcomes) - 1; i >= 0; i-- {
		o := outcomes[i]
		switch v := Judge(s.Blob.Digest, o); {
		case o.Try.Kind == Check && v == Miss:
			checks++
		case o.Try.Kind.links() && v == Hit && checks == 0:
			return Try{Kind: Check}, s.checks(outcomes)
		case o.Try.Kind.links() && v == Hit && checks == 1:
			return Try{Kind: Check, Pause: patience}, true
		case o.Try.Kind.links() && v == Hit && checks == 2:
			return s.send(outcomes), true
		default:
			return Try{}, false
		}
	}
	return Try{}, false
}

// again says whether a rate limit demands the last try once more. A mount has
// waited already and is not worth more; a Check is given up after a while, and
// the step goes on without it.
func (s Step) again(outcomes []Outcome) bool {
	n := s.limits(outcomes)
	return n > 0 && n <= maxRefusals && !outcomes[len(outcomes)-1].Try.Kind.isMount()
}

// limits counts how often in a row the last try was put off by a rate limit.
func (s Step) limits(outcomes []Outcome) int {
	n := 0
	for i := len(outcomes) - 1; i >= 0; i-- {
		if outcomes[i].Try != outcomes[len(outcomes)-1].Try || Judge(s.Blob.Digest, outcomes[i]) != Limited {
			break
		}
		n++
	}
	return n
}

// checks says whether a Check can tell anything: not where nothing is trusted,
// nor where the host has refused one, earlier or after these outcomes.
func (s Step) checks(outcomes []Outcome) bool {
	for _, o := range outcomes {
		if o.Try.Kind == Check && Judge(s.Blob.Digest, o) == Refused {
			return false
		}
	}
	return !s.policy.Force && s.odds.heads
}

// Ladder returns the tries that the step makes when every one misses.
func (s Step) Ladder() []Try {
	var tries []Try
	var missed []Outcome
	for {
		try, ok := s.Next(missed)
		if !ok {
			return tries
		}
		tries = append(tries, try)
		if try.Kind == Upload {
			return tries
		}
		missed = append(missed, s.miss(try))
	}
}

// miss returns the outcome of a try that misses.
func (s Step) miss(t Try) Outcome {
	if t.Kind == Check {
		return Outcome{Try: t, Status: 404}
	}
	return Outcome{Try: t, Status: 202, Session: t.Kind == MountAny || s.odds.opens}
}

// Cost returns the expected cost of the step, in round trips.
func (s Step) Cost() float64 { return s.costAfter(nil) }

// costIfHeld returns what the step costs, in round trips, if the target holds
// the blob: little where it is asked for, and the upload where it is not.
func (s Step) costIfHeld() float64 {
	if s.Disposition(nil) != Undone {
		return 0
	}
	return s.ladder(nil).costIf(1)
}

// costAfter returns the expected cost of what is left after outcomes.
func (s Step) costAfter(outcomes []Outcome) float64 {
	if s.Disposition(outcomes) != Undone {
		return 0
	}
	l := s.ladder(outcomes)
	if try, ok := s.forced(outcomes); ok && try.Kind == Check {
		next, _ := l.climb(l.start, Check)
		return l.costOf(Check, l.start, next)
	}
	return l.best(l.start).cost
}

// try builds the try of kind k on rung r.
func (s Step) try(k Kind, l *ladder, r rung) Try {
	switch k {
	case Mount:
		return Try{Kind: Mount, From: l.names[r.sources]}
	case Upload:
		return s.send(nil)
	}
	return Try{Kind: k}
}

// ladder sets up the search from where the outcomes have led. Tries that
// missed stay in, since a miss says something of what is left; tries that were
// refused say nothing and are taken out.
func (s Step) ladder(outcomes []Outcome) *ladder {
	l := &ladder{odds: s.odds}
	l.may = s.allowed()
	l.upload = 1 + s.policy.sending(s.Blob.Size)
	l.single = s.single() && s.send(nil).Form == Single
	if s.Blob.Sealed {
		l.upload = costSealed
	}
	missed, spent := map[string]bool{}, map[string]bool{}
	for _, o := range outcomes {
		v := Judge(s.Blob.Digest, o)
		if o.Try.Kind.isMount() {
			l.session = l.session || o.Session
			if v == Miss && !o.Session {
				l.opens = false
			}
		}
		l.record(o.Try, v, missed, spent)
	}
	l.order(s.named, missed, spent)
	if left := max(0, maxSources-len(missed)-len(spent)); left < len(l.sources)-l.start.sources {
		l.sources = l.sources[:l.start.sources+left]
	}
	return l
}

// record notes what became of one try.
func (l *ladder) record(t Try, v Verdict, missed, spent map[string]bool) {
	miss := v == Miss
	switch {
	case t.Kind == Mount && miss:
		missed[t.From] = true
	case t.Kind == Mount:
		spent[t.From] = true
	case t.Kind == Check && miss:
		l.start.check, l.inTarget = true, 0
	case t.Kind == MountSelf && miss:
		l.start.self = true
	case t.Kind == MountAny && miss:
		l.start.any = true
		l.any[anyRefuses] = 0 // it was answered
	}
	if t.Kind != Mount {
		l.may[t.Kind] = t.Kind == Upload
	}
}

// order puts the sources that missed first and leaves out those that are
// spent, so that a count says which are left.
func (l *ladder) order(named []Source, missed, spent map[string]bool) {
	var names []string
	var p []float64
	for _, pass := range [...]bool{true, false} {
		for i, src := range named {
			if missed[src.Repository] == pass && !spent[src.Repository] {
				names, p = append(names, src.Repository), append(p, l.sources[i])
			}
		}
		if pass {
			l.start.sources = len(names)
		}
	}
	l.names, l.sources = names, p
	l.none[0] = 1
	for i, p := range l.sources {
		l.none[i+1] = l.none[i] * (1 - p)
	}
}

// allowed says which kinds the policy and the host leave.
func (s Step) allowed() (may [Upload + 1]bool) {
	p := s.policy
	may[Upload] = true
	may[Check] = s.checks(nil)
	may[Mount] = !p.Force && !p.NoMounts
	may[MountSelf] = may[Mount]
	takes, known := s.traits.Known(TakesAny)
	may[MountAny] = may[Mount] && !p.NoDiscovery && (takes || !known)
	return may
}
