package mount

import (
	"fmt"
	"slices"
	"testing"
)

// script hands out the bytes of a fuzz input, zeros once they are used up.
type script struct{ bytes []byte }

func (s *script) next(n int) int {
	if len(s.bytes) == 0 {
		return 0
	}
	b := int(s.bytes[0])
	s.bytes = s.bytes[1:]
	return b % n
}

func (s *script) flag() bool { return s.next(2) == 1 }

// fact returns any fact about one of the first blobs.
func (s *script) fact(blobs int) Fact {
	d, repository := dig(s.next(blobs)), []string{"team/app", "lib", "team/base", "x", ""}[s.next(5)]
	switch s.next(9) {
	case 0:
		return Doubt(repository)
	case 1:
		return Fact{Blob: d, Doubted: true, Source: Source{Repository: repository}}
	case 2:
		return InTarget(d, Presence(s.next(4)))
	case 3:
		return see(Trait(s.next(int(numTraits)+1)), s.flag())
	case 4:
		return Fact{Limit: int64(s.next(256)) << 20}
	case 5:
		return Looked(Standing(s.next(5)))
	case 6:
		return Fact{Blob: d, Asked: true}
	case 7:
		return At(d, fmt.Sprint("repo/", s.next(12)), Belief(s.next(5)))
	}
	return At(d, repository, Belief(s.next(5)))
}

// outcome returns any answer to a try.
func (s *script) outcome(t Try) Outcome {
	statuses := []int{0, 200, 201, 202, 204, 307, 400, 401, 403, 404, 405, 408, 413, 415, 416, 422, 429, 500, 502, 503}
	o := Outcome{Try: t, Status: statuses[s.next(len(statuses))]}
	flags := s.next(256)
	o.Session = flags&1 > 0 && o.Status == 202
	o.Limited = flags&6 == 6
	o.Corrupt = flags&24 == 24 && t.Kind == Upload
	o.Fatal = flags&224 == 224
	if s.next(4) == 1 {
		o.Digest = dig(s.next(2))
	}
	return o
}

// push returns a push: three layers, a config and what is known.
func (s *script) push() ([]Blob, Evidence, Policy) {
	blobs := imageOf(0, 0, 3, 0)
	for i := range blobs {
		blobs[i].Size = int64(s.next(256)) << s.next(30)
		blobs[i].External, blobs[i].Sealed = s.next(8) == 1, s.next(8) == 1
	}
	p := Policy{
		Force: s.next(8) == 1, NoMounts: s.next(8) == 1, NoDiscovery: s.next(4) == 1, Strict: s.next(8) == 1,
		Uploads: s.next(6),
	}
	e := NewEvidence("team/app", Traits{})
	for range s.next(40) {
		e = e.With(s.fact(len(blobs)))
	}
	return blobs, e, p
}

// course is a step on its way.
type course struct {
	t        *testing.T
	sources  []string // on the list when the step began
	blob     Blob
	policy   Policy
	outcomes []Outcome
}

// most bounds the tries of a step: each mount and each upload may be followed
// by a Check, one Check comes by itself, a body that is too large costs one
// more upload, and a rate limit makes a try up to three.
func (c *course) most() int {
	mounts := min(len(c.sources), maxSources) + 2
	return (1 + maxRefusals) * (1 + 2*mounts + 2*(c.policy.withDefaults().Uploads+1))
}

// check tests what is always true of a next try.
func (c *course) check(s Step, try Try) {
	again, ok := s.Next(slices.Clone(c.outcomes))
	if !ok || again != try {
		c.t.Fatalf("%q, and then %q after the same outcomes", try, again)
	}
	if len(c.outcomes) >= c.most() {
		c.t.Fatalf("%d tries, and then %q: %+v", len(c.outcomes), try, c.outcomes)
	}
	if try.Kind < Check || try.Kind > Upload || (try.From != "") != (try.Kind == Mount) {
		c.t.Fatalf("try %+v", try)
	}
	if p := c.policy; try.Kind.isMount() && (p.Force || p.NoMounts) || try.Kind == MountAny && p.NoDiscovery || try.Kind == Check && p.Force {
		c.t.Fatalf("%q with %+v", try, p)
	}
	sent := false
	for _, o := range c.outcomes {
		sent = sent || o.Try.Kind == Upload
		if try.Kind.isMount() && o.Try == try {
			c.t.Fatalf("%q twice: %+v", try, c.outcomes)
		}
		if try.Kind == Check && o.Try == try && Judge(c.blob.Digest, o) == Refused {
			c.t.Fatalf("a check after one was refused: %+v", c.outcomes)
		}
	}
	if sent && try.Kind.isMount() {
		c.t.Fatalf("%q after the bytes went out", try)
	}
	if try.Kind == Mount && (try.From == "team/app" || !slices.Contains(c.sources, try.From)) {
		c.t.Fatalf("%q: not among %v", try, c.sources)
	}
}

// run climbs the step of blob i to its end. When learn is set, the plan is made
// anew after each outcome with the facts that it has shown.
func (c *course) run(s *script, blobs []Blob, e Evidence, i int, learn bool) {
	step := NewPlan(blobs, e, c.policy).Steps[i]
	for {
		try, ok := step.Next(c.outcomes)
		d := step.Disposition(c.outcomes)
		if ok != (d == Undone) {
			c.t.Fatalf("next %q (%v), and the step is %s", try, ok, d)
		}
		if !ok {
			c.ended(step, d)
			return
		}
		c.check(step, try)
		c.outcomes = append(c.outcomes, s.outcome(try))
		if learn {
			e = e.With(Learn(c.blob, e, c.outcomes)...)
			step = NewPlan(blobs, e, c.policy).Steps[i]
		}
	}
}

// ended tests what is always true of an end.
func (c *course) ended(s Step, d Disposition) {
	tried := func(match func(Outcome) bool) bool { return slices.ContainsFunc(c.outcomes, match) }
	upload := tried(func(o Outcome) bool { return o.Try.Kind == Upload })
	hit := tried(func(o Outcome) bool { return Judge(c.blob.Digest, o) == Hit })
	ok := false
	switch d {
	case Skipped:
		ok = c.blob.External && len(c.outcomes) == 0
	case Stands:
		ok = s.proven && !hit || hit && !upload
	case Mounted:
		ok = hit && !upload && tried(func(o Outcome) bool { return o.Try.Kind == Mount || o.Try.Kind == MountAny })
	case Uploaded:
		ok = hit && upload
	case Unsettled:
		fatal := tried(func(o Outcome) bool { return o.Fatal })
		ok = !hit && (upload || fatal)
	}
	if !ok {
		c.t.Fatalf("%s with %+v after %+v", d, c.blob, c.outcomes)
	}
	if s.proven && !s.policy.Strict && len(c.outcomes) == 0 && d != Stands && d != Skipped {
		c.t.Fatalf("a blob that stands is %s", d)
	}
}

// FuzzStep drives the steps of a push with any answers.
func FuzzStep(f *testing.F) {
	f.Add([]byte("a push of some layers to a registry that answers as it likes, again and again and again"))
	f.Add([]byte{5, 20, 0, 0, 9, 28, 0, 0, 200, 29, 0, 0, 1, 5, 0, 0, 0, 0, 0, 0, 5, 6, 0, 1, 7, 3, 4, 0, 2, 7, 5, 4, 1, 1, 8, 2, 3, 17, 0, 0, 9, 0, 0, 3, 1, 0})
	f.Add([]byte{255, 28, 2, 2, 255, 28, 2, 0, 255, 28, 0, 2, 1, 1, 0, 0, 0, 0, 0, 2, 12, 0, 0, 6, 0, 0, 9, 0, 0, 16, 0, 0, 16, 0, 0})
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &script{input}
		learn := s.flag()
		blobs, e, p := s.push()
		plan := NewPlan(blobs, e, p)
		if again := NewPlan(slices.Clone(blobs), e, p); plan.String() != again.String() || plan.Cost() != again.Cost() {
			t.Fatalf("%s%s", plan, again)
		}
		for i, b := range blobs {
			c := &course{t: t, blob: b, policy: p}
			for _, source := range e.Sources(b.Digest) {
				c.sources = append(c.sources, source.Repository)
			}
			c.run(s, blobs, e, i, learn)
			quiet := NewPlan(blobs, e.With(InTarget(b.Digest, Present)), p).Steps[i]
			if try, ok := quiet.Next(nil); ok && !p.Force && !p.Strict {
				t.Fatalf("%q for a blob that stands", try)
			}
			if !b.External && !plan.Steps[i].proven && !slices.ContainsFunc(plan.Steps[i].Ladder(), func(t Try) bool { return t.Kind == Upload }) {
				t.Fatalf("no upload in %s", plan.Steps[i])
			}
		}
	})
}

// FuzzEvidence compares evidence with facts that are read from the first to
// the last.
func FuzzEvidence(f *testing.F) {
	f.Add([]byte("facts of all kinds, and more of them than are kept before they are folded into the map"))
	f.Add([]byte{1, 1, 8, 4, 1, 1, 1, 1, 1, 8, 2, 0, 0, 2, 1, 0, 0, 2, 3, 0, 0, 2, 2})
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &script{input}
		e := NewEvidence("team/app", Traits{})
		var facts []Fact
		for len(s.bytes) > 0 {
			before, many := e, 1+s.next(5)
			var more []Fact
			for range many {
				more = append(more, s.fact(5))
			}
			e = e.With(more...)
			before.With(Doubt("lib"), InTarget(dig(0), Absent), At(dig(1), "elsewhere", Confirmed))
			model{"team/app", facts}.compare(t, before, 5)
			facts = append(facts, more...)
			model{"team/app", facts}.compare(t, e, 5)
			if len(facts) > 400 {
				return
			}
		}
	})
}
