package mount

// A question that concerns all blobs at once is asked when it is worth it: when
// the expected cost of the plan falls, over all answers, by more than asking
// costs. Looks and scouts are such questions, and the one cost rule of the
// ladders settles them all.

const (
	sameDigest  = 0.2  // the image stands in the repository under another tag
	sameChanged = 0.02 // ... though this tag names another image
	costAsk     = 1    // the request of a look
	costWait    = 0.5  // what it costs that all blobs wait for an answer
	minGain     = 0.01 // gains below this are noise
	maxScouts   = 2    // blobs of one plan that are asked for while the others wait
)

// Question is what is worth asking before the blobs set out: a look, or the
// first try of one step, made alone (a scout), because its answer changes how
// the others go.
type Question struct {
	Look Look
	Step int // index in Plan.Steps, when Look is NoLook
	Try  Try
}

// Ask returns the question that is worth most now, or false when it is best to
// set out. The look that a push begins with comes before any plan and is not
// among them: see [Evidence.FirstLook].
// Once the facts of each answer are in the evidence, no more than two looks
// and two scouts are asked for, whatever the registry answers.
func (p Plan) Ask() (Question, bool) {
	if p.policy.Force || p.policy.Strict {
		return Question{}, false
	}
	cost := p.Cost()
	best, gain := Question{}, costWait+minGain
	consider := func(q Question, g float64) {
		if g > gain {
			best, gain = q, g
		}
	}
	consider(Question{Look: LookDigest}, p.digestGain()-costAsk)
	consider(Question{Look: LookTags}, p.tagsGain(cost)-costAsk)
	if i := p.telling(); i >= 0 {
		for _, k := range [...]Kind{Check, MountSelf, MountAny} {
			consider(Question{Step: i, Try: Try{Kind: k}}, cost-p.scouted(i, k))
		}
	}
	return best, best.Look != NoLook || best.Try.Kind != 0
}

// digestGain returns by how much the plan gets cheaper when it is known
// whether the digest of the image stands: if it does, nothing is left of what
// finding its blobs one by one would cost.
func (p Plan) digestGain() float64 {
	if p.evidence.digestAsked {
		return 0
	}
	seen := buildsOf(p.blobs, p.evidence)
	chance := seen.exists()*sameDigest + (1-seen.exists())*goneStands
	if p.evidence.standing == TagOther {
		chance = min(sameChanged, seen.strays) // if it stands, so do blobs that the tag's manifest does not name
	}
	cost := 0.0
	for _, s := range p.Steps {
		if p.evidence.Presence(s.Blob.Digest) == Absent {
			return 0 // nor does what names the blob
		}
		cost += s.costIfHeld()
	}
	return max(chance, p.evidence.digestBelief.probability()) * cost
}

// tagsGain returns by how much the plan gets cheaper when it is known whether
// the repository exists.
func (p Plan) tagsGain(cost float64) float64 {
	if s := p.evidence.standing; s != TagAbsent && s != Unlooked {
		return 0
	}
	exists := buildsOf(p.blobs, p.evidence).exists()
	known := exists*p.with(Looked(RepoExists)).Cost() + (1-exists)*p.with(Looked(RepoAbsent)).Cost()
	return cost - known
}

// baseHolds is how likely a repository that was named as a base holds the layers
// of the image that have no better source.
const baseHolds = 0.3

// WorthReading says whether it is worth a request to read the manifest of a
// repository, since it may hold layers that are not proven and have no sure
// source.
func (p Plan) WorthReading(repository string) bool {
	var facts []Fact
	for _, s := range p.Steps {
		sure := len(s.named) > 0 && s.named[0].Belief >= Remembered
		if s.Blob.Role == Layer && s.Disposition(nil) == Undone && !sure {
			facts = append(facts, At(s.Blob.Digest, repository, Confirmed))
		}
	}
	return len(facts) > 0 && baseHolds*(p.Cost()-p.with(facts...).Cost()) > costAsk
}

// with returns the plan that more facts would make.
func (p Plan) with(facts ...Fact) Plan {
	return NewPlan(p.blobs, p.evidence.With(facts...), p.policy)
}

// telling returns the step whose answer says most of the others: the lowest
// layer of which nothing is proven, which was not asked for, and for which no
// source is named. It returns -1 when there are no others for it to speak of,
// or when enough blobs were asked for.
func (p Plan) telling() int {
	best, open, asked := -1, 0, 0
	for i, s := range p.Steps {
		known := p.evidence.blob(s.Blob.Digest)
		if known.asked {
			asked++
		}
		if s.Disposition(nil) != Undone {
			continue
		}
		open++
		if s.Blob.Role != Layer || known.presence != Unproven || known.asked || len(s.named) > 0 {
			continue
		}
		if best < 0 || s.Blob.Position < p.Steps[best].Blob.Position {
			best = i
		}
	}
	if open < 2 || asked >= maxScouts {
		return -1
	}
	return best
}

// scouted returns the expected cost of the whole plan when step i makes the
// try k first and alone.
func (p Plan) scouted(i int, k Kind) float64 {
	s := p.Steps[i]
	l := s.ladder(nil)
	next, ok := l.climb(l.start, k)
	if !ok {
		return p.Cost() + 1
	}
	total := 1.0
	for _, a := range l.answers(k, next, s.Blob) {
		if a.chance <= 0 {
			continue
		}
		seen := []Outcome{a.outcome}
		after := p.with(append(Learn(s.Blob, p.evidence, seen), a.truth...)...)
		total += a.chance * (after.costAsked() - after.Steps[i].Cost() + s.costAfter(seen))
	}
	return total
}

// costAsked returns the expected cost of the plan if the tags are looked at
// first where that is worth it: an answer may be worth most for the question
// that it leads to.
func (p Plan) costAsked() float64 {
	cost := p.Cost()
	return cost - max(0, p.tagsGain(cost)-costAsk-costWait)
}

// answer is what a try may come back with, how likely that is, and the truth
// behind it that the rest of the ladder is going to show.
type answer struct {
	outcome Outcome
	chance  float64
	truth   []Fact
}

// answers returns what try k, which leads to rung next when it misses, may
// come back with as the first of its ladder.
func (l *ladder) answers(k Kind, next rung, b Blob) []answer {
	miss := l.reach(next)
	out := func(status int) Outcome {
		return Outcome{Try: Try{Kind: k}, Status: status, Session: status == 202 && (l.opens || k == MountAny)}
	}
	switch k {
	case Check:
		return []answer{{out(200), 1 - miss, nil}, {out(404), miss, nil}}
	case MountSelf:
		blind := l.inTarget * (1 - l.selves)
		return []answer{
			{out(201), 1 - miss, nil},
			{out(202), miss - blind, []Fact{InTarget(b.Digest, Absent)}},
			{out(202), blind, []Fact{InTarget(b.Digest, Present), see(SelfMounts, false)}},
		}
	}
	refused := l.any[anyRefuses] * l.reachIf(next, anyRefuses)
	return []answer{{out(201), 1 - miss, nil}, {out(202), miss - refused, nil}, {out(404), refused, nil}}
}
