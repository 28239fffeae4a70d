package mount

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// asked returns the question as a table has it.
func asked(q Question, ok bool) string {
	switch {
	case !ok:
		return "set out"
	case q.Look != NoLook:
		return q.Look.String()
	}
	return fmt.Sprintf("%s %d", q.Try, q.Step)
}

func TestAsk(t *testing.T) {
	nine := imageOf(0, 0, 9, 256<<10)
	small := imageOf(0, 0, 1, 4<<10)
	changed := []Fact{Looked(TagOther)} // all but the top layer and the config are in the tag's manifest
	for i := range 8 {
		changed = append(changed, InTarget(dig(i), Present))
	}
	looked := []Fact{Looked(TagAbsent), {DigestAsked: true}}
	for _, c := range []struct {
		name   string
		blobs  []Blob
		facts  []Fact
		policy Policy
		want   string
	}{
		{"a new tag", nine, []Fact{Looked(TagAbsent)}, Policy{}, "check 0"},
		{"a new tag, the bottom layer stands", nine, []Fact{Looked(TagAbsent), InTarget(dig(0), Present)}, Policy{}, "look at the digest"},
		{"a new tag, the bottom layer is gone", nine, []Fact{Looked(TagAbsent), InTarget(dig(0), Absent)}, Policy{}, "mount-any 1"},
		{"a new tag, another digest", nine, looked, Policy{}, "check 0"},
		{"the bottom layer is gone", nine, append(looked, InTarget(dig(0), Absent)), Policy{}, "mount-any 1"},
		{"the bottom layer is gone, no discovery", nine, append(looked, InTarget(dig(0), Absent)), Policy{NoDiscovery: true}, "set out"},
		{"the bottom layer stands", nine, append(looked, InTarget(dig(0), Present)), Policy{}, "set out"},
		{"the same tag, one layer changed", nine, changed, Policy{}, "set out"},
		{"two small blobs", small, []Fact{Looked(TagAbsent)}, Policy{}, "set out"},
		{"two small blobs, nothing known", small, nil, Policy{}, "set out"},
		{"nothing left to do", nine, append(changed, InTarget(dig(8), Present), InTarget(dig(9), Present)), Policy{}, "set out"},
		{"no blobs", nil, nil, Policy{}, "set out"},
		{"force", nine, []Fact{Looked(TagAbsent)}, Policy{Force: true}, "set out"},
		{"strict", nine, []Fact{Looked(TagAbsent)}, Policy{Strict: true}, "set out"},
		{"no repository, no discovery", nine, []Fact{Looked(RepoAbsent)}, Policy{NoDiscovery: true}, "set out"},
		{"HEAD is refused", nine, append(looked, see(Heads, false)), Policy{NoMounts: true}, "set out"},
		{"asked for already", nine, append(looked, Fact{Blob: dig(0), Asked: true}), Policy{NoMounts: true}, "check 1"},
		{"asked for twice", nine, append(looked, Fact{Blob: dig(0), Asked: true}, Fact{Blob: dig(1), Asked: true}), Policy{NoMounts: true}, "look at the tags"},
	} {
		p := NewPlan(c.blobs, NewEvidence("team/app", Traits{}, c.facts...), c.policy)
		if got := asked(p.Ask()); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestAskScoutPays: what a scout finds out changes how the others go.
func TestAskScoutPays(t *testing.T) {
	blobs := imageOf(0, 0, 9, 256<<10)
	e := NewEvidence("team/app", Traits{}, Looked(TagAbsent), Fact{DigestAsked: true})
	before := NewPlan(blobs, e, Policy{})
	if !strings.Contains(before.String(), "check") {
		t.Errorf("nothing is checked in\n%s", before)
	}
	gone := NewPlan(blobs, e.With(Learn(blobs[0], e, []Outcome{tried(Check, "", got(404))})...), Policy{})
	if strings.Contains(gone.String(), "check") {
		t.Errorf("the bottom layer is gone, and still there is a check in\n%s", gone)
	}
	there := NewPlan(blobs, e.With(Learn(blobs[0], e, []Outcome{tried(Check, "", got(200))})...), Policy{})
	if there.Cost() >= before.Cost() || gone.Cost() <= before.Cost() {
		t.Errorf("cost %v, %v if the bottom layer stands, %v if not", before.Cost(), there.Cost(), gone.Cost())
	}
}

// TestPlanIsAValue: what the caller does with its blobs afterwards changes
// nothing.
func TestPlanIsAValue(t *testing.T) {
	blobs := imageOf(0, 0, 9, 256<<10)
	p := NewPlan(blobs, NewEvidence("team/app", Traits{}, Looked(TagAbsent), Fact{DigestAsked: true}), Policy{})
	before := asked(p.Ask())
	for i := range blobs {
		blobs[i] = Blob{External: true}
	}
	if after := asked(p.Ask()); after != before {
		t.Errorf("%q, and %q once the blobs were changed", before, after)
	}
}

// hostile answers a question as a registry may, and returns the facts.
func hostile(r *rand.Rand, q Question, b Blob, e Evidence) []Fact {
	switch q.Look {
	case LookDigest:
		return []Fact{{DigestAsked: true}}
	case LookTags:
		return []Fact{Looked([]Standing{RepoExists, RepoAbsent}[r.IntN(2)])}
	}
	answers := []int{0, 200, 201, 202, 202, 400, 403, 404, 405, 429, 500}
	o := Outcome{Try: q.Try, Status: answers[r.IntN(len(answers))]}
	o.Session = o.Status == 202 && r.IntN(3) > 0
	return Learn(b, e, []Outcome{o})
}

// TestAskEnds: whatever a registry answers, the blobs set out after a few
// questions, and none is asked twice.
func TestAskEnds(t *testing.T) {
	const most = 4
	r := rand.New(rand.NewPCG(13, 14))
	numbers := [most + 1]int{}
	for n := range 500 {
		blobs, e := randomPush(r, []Standing{Unlooked, TagAbsent, TagOther, RepoAbsent, RepoExists}[n%5])
		policy := Policy{NoDiscovery: r.IntN(4) == 0, NoMounts: r.IntN(6) == 0}
		seen := map[string]bool{}
		for {
			q, ok := NewPlan(blobs, e, policy).Ask()
			if !ok {
				break
			}
			if name := asked(q, ok); seen[name] || len(seen) == most {
				t.Fatalf("%q after %v", name, seen)
			} else {
				seen[name] = true
			}
			e = e.With(hostile(r, q, blobs[q.Step], e)...)
		}
		numbers[len(seen)]++
	}
	t.Logf("pushes by number of questions: %v", numbers)
	if numbers[2]+numbers[3]+numbers[4] == 0 {
		t.Error("no push asked a second question")
	}
}
