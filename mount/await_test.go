package mount

import "testing"

func TestWorthAwaiting(t *testing.T) {
	only := Fact{Allow: "lib/"}
	for _, tt := range []struct {
		name  string
		known []Fact
		p     Policy
		want  bool
	}{
		{"nothing known", nil, Policy{}, true},
		{"mounts", []Fact{see(MountsFrom, true)}, Policy{}, true},
		{"mounts nothing", []Fact{see(MountsFrom, false)}, Policy{}, false},
		{"mounts nothing, but discovers", []Fact{see(MountsFrom, false), see(Discovers, true)}, Policy{}, true},
		{"mounts nothing, and must not be asked to discover", []Fact{see(MountsFrom, false), see(Discovers, true)}, Policy{NoDiscovery: true}, false},
		{"mounts nothing and discovers nothing", []Fact{see(MountsFrom, false), see(Discovers, false)}, Policy{}, false},
		{"no mounts wanted", []Fact{see(MountsFrom, true), see(Discovers, true)}, Policy{NoMounts: true}, false},
		{"not from there", []Fact{only, see(MountsFrom, true)}, Policy{}, false},
		{"not from there, but discovers", []Fact{only, see(Discovers, true)}, Policy{}, true},
	} {
		if got := NewEvidence("team/app", Traits{}, tt.known...).WorthAwaiting("team/other", tt.p); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestLearnTagsRefused(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		want   bool // learned that the host takes no tags as parameters
	}{
		{400, "", true}, {400, "MANIFEST_INVALID", true}, {404, "", true}, {403, "DENIED", true}, {414, "", true},
		{400, "TAG_INVALID", false}, {500, "", false}, {503, "", false}, {502, "MANIFEST_INVALID", false},
	} {
		r := Refusal{Status: tt.status}
		if tt.code != "" {
			r.Codes = []string{tt.code}
		}
		if got := len(LearnTagsRefused(r)) > 0; got != tt.want {
			t.Errorf("%d %s: learned %v, want %v", tt.status, tt.code, got, tt.want)
		}
	}
}
