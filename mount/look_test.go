package mount

import "testing"

func TestFirstLook(t *testing.T) {
	last := func(tag string) Fact { return Fact{Last: dig(9), Tag: tag} }
	for _, tt := range []struct {
		name  string
		facts []Fact
		want  Look
	}{
		{"nothing remembered", nil, LookTag},
		{"last put under another tag", []Fact{last("v1")}, LookLast},
		{"last put under this tag", []Fact{last("v2")}, LookTag},
		{"put under both lately", []Fact{last("v2"), last("v1")}, LookTag},
		{"put under two others lately", []Fact{last("v0"), last("v1")}, LookLast},
		{"last put under none that is known", []Fact{last("")}, LookTag},
		{"the image itself remembered", []Fact{last("v1"), {DigestBelief: Remembered}}, LookTag},
		{"no belief in the image", []Fact{{DigestBelief: NoBelief}, last("v1")}, LookLast},
	} {
		e := NewEvidence("team/app", Traits{}, tt.facts...)
		if got := e.FirstLook("v2"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
