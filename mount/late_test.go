package mount

import "testing"

// TestStepLate: an upload that was twice not answered in time is given up after a
// Check, which a rate limit puts off like any.
func TestStepLate(t *testing.T) {
	step := NewStep([]Blob{{Digest: dig(1), Size: 1 << 20}}, NewEvidence("app", Traits{}), Policy{}, 0)
	late := Outcome{Try: Try{Kind: Upload}, Late: true, Sent: 1 << 20, Whole: true}
	check := func(o Outcome) Outcome { o.Try = Try{Kind: Check}; return o }
	for _, tt := range []struct {
		outcomes []Outcome
		want     Kind // 0: it is given up
	}{
		{[]Outcome{late}, Check},
		{[]Outcome{late, check(got(404))}, Upload},
		{[]Outcome{late, check(got(404)), late}, Check},
		{[]Outcome{late, check(got(404)), late, check(Outcome{Status: 429, Limited: true})}, Check},
		{[]Outcome{late, check(got(404)), late, check(got(404))}, 0},
	} {
		if try, ok := step.Next(tt.outcomes); ok != (tt.want != 0) || ok && try.Kind != tt.want {
			t.Errorf("after %d outcomes: %v, %v; want %v", len(tt.outcomes), try, ok, tt.want)
		}
	}
}
