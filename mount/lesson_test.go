package mount

import "testing"

func TestLesson(t *testing.T) {
	blobs := []Blob{
		{Digest: dig(1), Size: 1 << 20},
		{Digest: dig(2), Size: 1 << 10, Position: 1},
		{Digest: dig(3), Size: 100, Role: Config},
		{Digest: dig(4), Size: 10, Position: 2, External: true},
	}
	placed := []Fact{InTarget(dig(1), Placed), InTarget(dig(2), Placed), InTarget(dig(3), Present)}
	self, anywhere := Try{Kind: MountSelf}, Try{Kind: MountAny}
	for _, tt := range []struct {
		name   string
		facts  []Fact
		policy Policy
		step   int
		want   Try // the zero Try for none
	}{
		{"nothing brought", []Fact{InTarget(dig(1), Present)}, Policy{}, 0, Try{}},
		{"self-mounts unknown", placed, Policy{}, 1, self},
		{"self-mounts known", append(placed, see(SelfMounts, false)), Policy{}, 1, anywhere},
		{"discovers", append(placed, see(SelfMounts, true), see(Discovers, true)), Policy{}, 0, Try{}},
		{"sees the target", append(placed, see(SelfMounts, true), see(SeesTarget, true)), Policy{}, 0, Try{}},
		{"refuses a mount without a source", append(placed, see(SelfMounts, true), see(TakesAny, false)), Policy{}, 0, Try{}},
		{"no discovery wanted", append(placed, see(SelfMounts, true)), Policy{NoDiscovery: true}, 0, Try{}},
		{"no mounts wanted", placed, Policy{NoMounts: true}, 0, Try{}},
		{"nothing trusted", placed, Policy{Force: true}, 0, Try{}},
	} {
		step, try, ok := NewPlan(blobs, NewEvidence("team/app", Traits{}, tt.facts...), tt.policy).Lesson()
		if ok != (tt.want != Try{}) || try != tt.want || step != tt.step {
			t.Errorf("%s: step %d, %s, %t; want step %d, %s", tt.name, step, try, ok, tt.step, tt.want)
		}
	}
}

// TestLessonIsLearned: whatever the host answers, the same lesson is not asked
// for again.
func TestLessonIsLearned(t *testing.T) {
	b := Blob{Digest: dig(1), Size: 100}
	for _, answer := range []Outcome{got(201), session(), got(400), got(403), got(404), got(405)} {
		e := NewEvidence("team/app", Traits{}, InTarget(dig(1), Placed))
		for round := 0; ; round++ {
			_, try, ok := NewPlan([]Blob{b}, e, Policy{}).Lesson()
			if !ok {
				break
			}
			if round == 2 {
				t.Errorf("%+v: another lesson, %s", answer, try)
				break
			}
			answer.Try = try
			e = e.With(Learn(b, e, []Outcome{answer})...)
		}
		if honoured, known := e.Traits().Known(SelfMounts); !known || honoured != (answer.Status == 201) {
			t.Errorf("%+v: self-mounts %t, known %t", answer, honoured, known)
		}
		if sees, known := e.Traits().Known(SeesTarget); known && sees != (answer.Status == 201) {
			t.Errorf("%+v: sees its target %t", answer, sees)
		}
	}
}

// TestStrays: what the manifest that was looked at does not name is the less
// likely to stand the more often it did not, whatever the host.
func TestStrays(t *testing.T) {
	b := Blob{Digest: dig(1), Size: 4 << 20}
	looked := []Fact{Looked(TagOther), see(SelfMounts, false), see(Discovers, false), see(SeesTarget, false)}
	e := NewEvidence("team/app", Traits{}, looked...)
	checks := func(e Evidence) bool {
		for _, try := range NewPlan([]Blob{b}, e, Policy{}).Steps[0].Ladder() {
			if try.Kind == Check {
				return true
			}
		}
		return false
	}
	if !checks(e) {
		t.Error("no check of a large layer")
	}
	for range 50 {
		facts := Learn(b, e, []Outcome{{Try: Try{Kind: Check}, Status: 404}})
		e = e.With(facts...)
		e = NewEvidence("team/app", e.Traits(), looked...)
	}
	if n := e.Traits().Of(Strays); n != (Seen{No: 50}) {
		t.Errorf("strays seen %+v", n)
	}
	if checks(e) {
		t.Error("a check after 50 that missed")
	}
	for range 3 {
		facts := Learn(b, e, []Outcome{{Try: Try{Kind: Check}, Status: 200}})
		e = NewEvidence("team/app", e.With(facts...).Traits(), looked...)
	}
	if !checks(e) {
		t.Error("no check after 3 that hit")
	}
}

// TestStraysCount: what counts as a stray, and what does not.
func TestStraysCount(t *testing.T) {
	b := Blob{Digest: dig(1), Size: 1000}
	selves := see(SelfMounts, true)
	for _, tt := range []struct {
		name  string
		facts []Fact
		out   Outcome
		want  Seen
	}{
		{"check, there", []Fact{Looked(TagOther)}, tried(Check, "", got(200)), Seen{Yes: 1}},
		{"check, not there", []Fact{Looked(TagOther)}, tried(Check, "", got(404)), Seen{No: 1}},
		{"self-mount, there", []Fact{Looked(TagOther)}, tried(MountSelf, "", got(201)), Seen{Yes: 1}},
		{"self-mount, not there", []Fact{Looked(TagOther), selves}, tried(MountSelf, "", session()), Seen{No: 1}},
		{"self-mount that may not be honoured", []Fact{Looked(TagOther)}, tried(MountSelf, "", session()), Seen{}},
		{"no manifest looked at", nil, tried(Check, "", got(200)), Seen{}},
		{"remembered there", []Fact{Looked(TagOther), At(dig(1), "team/app", Remembered)}, tried(Check, "", got(200)), Seen{}},
		{"brought by this push", []Fact{Looked(TagOther), InTarget(dig(1), Placed)}, tried(Check, "", got(200)), Seen{}},
		{"asked before", []Fact{Looked(TagOther), InTarget(dig(1), Absent)}, tried(Check, "", got(404)), Seen{}},
	} {
		e := NewEvidence("team/app", Traits{}, tt.facts...)
		if got := e.With(Learn(b, e, []Outcome{tt.out})...).Traits().Of(Strays); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
