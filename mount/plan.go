package mount

import (
	"fmt"
	"slices"
	"strings"
)

// Plan says how each blob of an image should reach one repository. It is a
// value: it does not change, and holds nothing that it was made from.
type Plan struct {
	// Target is the repository, without its registry.
	Target string
	// Steps has one step for each blob, in the order of the blobs.
	Steps []Step

	blobs    []Blob
	evidence Evidence
	policy   Policy
}

// NewPlan returns the plan with the least expected cost for bringing blobs to
// the target of the evidence. It is cheap: ladders are searched when a step is
// asked for its next try.
func NewPlan(blobs []Blob, e Evidence, p Policy) Plan {
	plan := Plan{Target: e.Target(), blobs: slices.Clone(blobs), evidence: e, policy: p.withDefaults()}
	host, seen := hostOdds(e.traits), buildsOf(blobs, e)
	plan.Steps = make([]Step, len(blobs))
	for i, b := range blobs {
		plan.Steps[i] = plan.step(b, host, seen.stands(b, i))
	}
	return plan
}

// NewStep returns step i of the plan that [NewPlan] returns, without the others.
func NewStep(blobs []Blob, e Evidence, p Policy, i int) Step {
	plan, inTarget := Plan{evidence: e, policy: p.withDefaults()}, 1.0
	if plan.policy.Strict || plan.policy.Force || !e.Stands(blobs[i].Digest) {
		inTarget = buildsOf(blobs, e).stands(blobs[i], i)
	}
	return plan.step(blobs[i], hostOdds(e.traits), inTarget)
}

// step builds the step of one blob that the target holds with the given
// probability.
func (p Plan) step(b Blob, host odds, inTarget float64) Step {
	s := Step{Blob: b, traits: p.evidence.traits, policy: p.policy}
	s.proven = p.evidence.Stands(b.Digest) && !p.policy.Force && !p.policy.Strict
	s.named = p.evidence.likely(b.Digest)
	s.named = s.named[:min(len(s.named), maxSources)]
	s.odds = blobOdds(host, b, inTarget, s.named, p.evidence)
	return s
}

// Cost returns the expected cost of the plan, in round trips. Manifests are
// not in it: they cost the same whatever is planned.
func (p Plan) Cost() float64 {
	sum := 0.0
	for _, s := range p.Steps {
		sum += s.Cost()
	}
	return sum
}

// String prints the plan, a line for each blob: how it would go if every try
// missed.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plan for %s\n", p.Target)
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "  %s %s\n", s.Blob, s)
	}
	return b.String()
}

// String prints the ladder of the step.
func (s Step) String() string {
	switch s.Disposition(nil) {
	case Skipped:
		return "skip: non-distributable"
	case Stands:
		return "stands"
	}
	var names []string
	for _, t := range s.Ladder() {
		names = append(names, t.String())
	}
	return strings.Join(names, ", then ")
}

// String prints the short digest, size and role of the blob.
func (b Blob) String() string {
	role := "layer "
	if b.Role == Config {
		role = "config"
	}
	_, hex, _ := strings.Cut(string(b.Digest), ":")
	return fmt.Sprintf("%s %s %10d B", role, hex[:min(len(hex), 12)], b.Size)
}
