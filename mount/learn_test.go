package mount

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// lesson is an outcome and the facts that it shows.
type lesson struct {
	name   string
	known  []Fact    // before the try
	before []Outcome // of the same blob
	try    Try
	out    Outcome
	want   []Fact
}

func (l lesson) check(t *testing.T) {
	t.Helper()
	b := Blob{Digest: dig(1), Size: 1000}
	l.out.Try = l.try
	got := Learn(b, NewEvidence("team/app", Traits{}, l.known...), append(l.before, l.out))
	want := l.want
	if k := l.try.Kind; k == Check || k == MountSelf || k == MountAny {
		want = append(slices.Clone(want), Fact{Blob: dig(1), Asked: true})
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s:\nlearned %+v\nwant    %+v", l.name, got, want)
	}
}

// tried returns an earlier outcome.
func tried(k Kind, from string, o Outcome) Outcome {
	o.Try = Try{Kind: k, From: from}
	return o
}

func TestLearnCheck(t *testing.T) {
	present, absent, placed := InTarget(dig(1), Present), InTarget(dig(1), Absent), InTarget(dig(1), Placed)
	heads := see(Heads, true)
	lessons := []lesson{
		{name: "there", out: got(200), want: []Fact{heads, present}},
		{name: "not there", out: got(404), want: []Fact{heads, absent}},
		{name: "refused", out: got(405), want: []Fact{see(Heads, false)}},
		{name: "denied", out: got(403)}, // the repository, perhaps
		{name: "no answer", out: got(0)},
		{name: "timed out", out: got(408)},
		{name: "rate limit", out: got(429)},
		{name: "fatal", out: Outcome{Fatal: true}},
		{name: "after a self-mount that missed it", before: []Outcome{tried(MountSelf, "", session())}, out: got(200),
			want: []Fact{heads, present, see(SelfMounts, false)}},
		{name: "after a self-mount that was refused", before: []Outcome{tried(MountSelf, "", got(400))}, out: got(200),
			want: []Fact{heads, present}},
		{name: "after discovery missed it", before: []Outcome{tried(MountAny, "", session())}, out: got(200),
			want: []Fact{heads, present, see(SeesTarget, false), see(Discovers, false)}},
		{name: "after a source missed", before: []Outcome{tried(Mount, "lib", session())}, out: got(200), want: []Fact{heads, present}},
		{name: "after a lost mount", before: []Outcome{tried(Mount, "lib", got(500))}, out: got(200), want: []Fact{heads, placed}},
		{name: "after a lost upload", before: []Outcome{tried(Upload, "", got(0))}, out: got(200), want: []Fact{heads, placed}},
		{name: "after a lost discovery", before: []Outcome{tried(MountAny, "", got(503))}, out: got(200), want: []Fact{heads, placed}},
		{name: "after a lost self-mount, which places nothing", before: []Outcome{tried(MountSelf, "", got(500))}, out: got(200),
			want: []Fact{heads, present}},
		{name: "after a lost check", before: []Outcome{tried(Check, "", got(500))}, out: got(200), want: []Fact{heads, present}},
		{name: "after an upload that was too large, and a lost one", before: []Outcome{tried(Upload, "", got(413)), tried(Upload, "", got(0))}, out: got(200),
			want: []Fact{heads, placed, {Limit: 1000}}},
		{name: "absent after a lost mount", before: []Outcome{tried(Mount, "lib", got(500))}, out: got(404), want: []Fact{heads, absent}},
	}
	for _, l := range lessons {
		l.try = Try{Kind: Check}
		l.check(t)
	}
}

func TestLearnMount(t *testing.T) {
	confirmed := []Fact{At(dig(1), "lib", Confirmed)}
	gone := Fact{Blob: dig(1), Doubted: true, Source: Source{Repository: "lib"}}
	opens := see(MissOpens, true)
	lessons := []lesson{
		{name: "mounted", out: got(201), want: []Fact{InTarget(dig(1), Placed), At(dig(1), "lib", Confirmed), see(MountsFrom, true)}},
		{name: "missed", out: session(), want: []Fact{gone, opens}},
		{name: "missed without a session", out: got(202), want: []Fact{gone}},
		{name: "missed a blob that is there", known: confirmed, out: session(), want: []Fact{gone, opens, see(MountsFrom, false)}},
		{name: "missed what another holds", known: []Fact{At(dig(1), "other", Confirmed)}, out: session(), want: []Fact{gone, opens}},
		{name: "missed what was only claimed", known: []Fact{At(dig(1), "lib", Remembered)}, out: session(), want: []Fact{gone, opens}},
		{name: "another digest", out: Outcome{Status: 201, Digest: dig(2)}, want: []Fact{Doubt("lib")}},
		{name: "not found, no session", out: got(404), want: []Fact{gone, see(MissOpens, false)}},
		{name: "denied", out: got(401), want: []Fact{Doubt("lib")}},
		{name: "denied though it is there", known: confirmed, out: got(403), want: []Fact{Doubt("lib")}},
		{name: "bad request", out: got(400), want: []Fact{Doubt("lib")}},
		{name: "bad request though it is there", known: confirmed, out: got(400), want: []Fact{Doubt("lib"), see(MountsFrom, false)}},
		{name: "no such method", out: got(405), want: []Fact{Doubt("lib"), see(MountsFrom, false)}},
		{name: "unsupported", out: got(415), want: []Fact{Doubt("lib"), see(MountsFrom, false)}},
		{name: "unprocessable", out: got(422), want: []Fact{Doubt("lib"), see(MountsFrom, false)}},
		{name: "lost", known: confirmed, out: got(500)},
		{name: "limited", known: confirmed, out: Outcome{Status: 403, Limited: true}},
	}
	for _, l := range lessons {
		l.try = Try{Kind: Mount, From: "lib"}
		l.check(t)
	}
}

func TestLearnSelf(t *testing.T) {
	honest := []Fact{see(SelfMounts, true)}
	lessons := []lesson{
		{name: "there", out: got(201), want: []Fact{InTarget(dig(1), Present), see(SelfMounts, true)}},
		{name: "missed, host unknown", out: session(), want: []Fact{see(MissOpens, true)}},
		{name: "missed, host honest", known: honest, out: session(), want: []Fact{InTarget(dig(1), Absent), see(MissOpens, true)}},
		{name: "missed, host not honest", known: []Fact{see(SelfMounts, false)}, out: session(), want: []Fact{see(MissOpens, true)}},
		{name: "missed without a session", known: honest, out: got(202), want: []Fact{InTarget(dig(1), Absent)}},
		{name: "not found", out: got(404), want: []Fact{see(MissOpens, false)}},
		{name: "refused", out: got(400), want: []Fact{see(SelfMounts, false)}},
		{name: "denied", out: got(403)}, // the repository, perhaps
		{name: "denied though it is there", known: []Fact{InTarget(dig(1), Present)}, out: got(403), want: []Fact{see(SelfMounts, false)}},
		{name: "lost", known: honest, out: got(502)},
	}
	for _, l := range lessons {
		l.try = Try{Kind: MountSelf}
		l.check(t)
	}
}

func TestLearnAny(t *testing.T) {
	absent := []Fact{InTarget(dig(1), Absent)}
	placed, takes := InTarget(dig(1), Placed), see(TakesAny, true)
	lessons := []lesson{
		{name: "found, perhaps here", out: got(201), want: []Fact{placed, takes, see(SeesTarget, true)}},
		{name: "found elsewhere", known: absent, out: got(201), want: []Fact{placed, takes, see(Discovers, true)}},
		{name: "found, and there is no repository here", known: []Fact{Looked(RepoAbsent)}, out: got(201),
			want: []Fact{placed, takes, see(Discovers, true)}},
		{name: "missed", out: session(), want: []Fact{takes}},
		{name: "missed a blob that is there", known: []Fact{At(dig(1), "lib", Confirmed)}, out: session(),
			want: []Fact{takes, see(Discovers, false)}},
		{name: "missed what was only listed", known: []Fact{At(dig(1), "lib", Listed)}, out: session(), want: []Fact{takes}},
		{name: "refused", out: got(400), want: []Fact{see(TakesAny, false)}},
		{name: "not found", out: got(404), want: []Fact{see(TakesAny, false)}},
		{name: "denied", out: got(403)}, // the repository, perhaps
		{name: "lost", known: absent, out: got(500)},
	}
	for _, l := range lessons {
		l.try = Try{Kind: MountAny}
		l.check(t)
	}
}

func TestLearnUpload(t *testing.T) {
	put, stream, chunks := Try{Kind: Upload}, Try{Kind: Upload, Form: Stream}, Try{Kind: Upload, Form: Chunks, Chunk: 300}
	for _, l := range []lesson{
		{name: "sent", try: put, out: got(201), want: []Fact{InTarget(dig(1), Placed)}},
		{name: "sent, 204", try: put, out: got(204), want: []Fact{InTarget(dig(1), Placed)}},
		{name: "too large, or too much", try: put, out: got(413)},
		{name: "too large a chunk, or too much", try: Try{Kind: Upload, Form: Chunks, Chunk: 300}, out: got(413)},
		{name: "sent after it was too large", before: []Outcome{tried(Upload, "", got(413))}, try: stream, out: got(201),
			want: []Fact{InTarget(dig(1), Placed), {Limit: 1000}}},
		{name: "sent after it was too large for a stream", before: []Outcome{{Try: stream, Status: 413}}, try: chunks, out: got(201),
			want: []Fact{InTarget(dig(1), Placed), {Limit: 1000, Patch: true}}},
		{name: "sent after a chunk was too large", before: []Outcome{{Try: chunks, Status: 413}}, try: chunks, out: got(201),
			want: []Fact{InTarget(dig(1), Placed), {Limit: 300, Patch: true}}},
		{name: "sent after questions were denied", try: put, out: got(201),
			before: []Outcome{tried(Check, "", got(403)), tried(MountSelf, "", got(401)), tried(MountAny, "", got(403)), tried(Mount, "lib", got(403))},
			want:   []Fact{InTarget(dig(1), Placed), see(Heads, false), see(SelfMounts, false), see(TakesAny, false)}},
		{name: "resumed", try: Try{Kind: Upload, Resume: true}, out: Outcome{Status: 201, Sent: 5}, want: []Fact{InTarget(dig(1), Placed), see(Resumes, true)}},
		{name: "not resumed", try: Try{Kind: Upload, Resume: true}, out: got(404), want: []Fact{see(Resumes, false)}},
		{name: "denied", try: put, out: got(403)},
		{name: "corrupt", try: put, out: Outcome{Status: 400, Corrupt: true}},
		{name: "lost", try: put, out: got(0)},
	} {
		l.check(t)
	}
	if facts := Learn(Blob{Digest: dig(1)}, Evidence{}, nil); facts != nil {
		t.Errorf("learned %+v from nothing", facts)
	}
}

func TestLearnCancel(t *testing.T) {
	for status, want := range map[int][]Fact{
		200: {see(Cancels, true)}, 202: {see(Cancels, true)}, 204: {see(Cancels, true)},
		400: {see(Cancels, false)}, 405: {see(Cancels, false)}, 501: {see(Cancels, false)},
		0: nil, 401: nil, 403: nil, 404: nil, 429: nil, 500: nil,
	} {
		if got := LearnCancel(status); !slices.Equal(got, want) {
			t.Errorf("%d: %+v, want %+v", status, got, want)
		}
	}
}

func TestLearnRefusal(t *testing.T) {
	named := []Fact{see(Validates, true), see(NamesMissing, true)}
	for _, tt := range []struct {
		refusal Refusal
		want    []Fact
	}{
		{Refusal{Status: 400, Codes: []string{"MANIFEST_BLOB_UNKNOWN"}, Missing: []digest.Digest{dig(1)}}, named},
		{Refusal{Status: 404, Missing: []digest.Digest{dig(1)}}, named},
		{Refusal{Status: 400, Codes: []string{"BLOB_UPLOAD_UNKNOWN"}}, []Fact{see(Validates, true), see(NamesMissing, false)}},
		{Refusal{Status: 400, Codes: []string{"MANIFEST_INVALID"}}, nil},
		{Refusal{Status: 500}, nil},
	} {
		if got := LearnRefusal(tt.refusal); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %+v, want %+v", tt.refusal, got, tt.want)
		}
	}
}

// TestDoubtful: on which hosts a mount that was answered 201 is verified.
func TestDoubtful(t *testing.T) {
	for _, tt := range []struct {
		traits Traits
		policy Policy
		want   bool
	}{
		{Traits{}, Policy{}, false},
		{Traits{}.See(Phantoms, true), Policy{}, true},
		{Traits{}.See(Phantoms, true), Policy{Force: true}, false},
		{Traits{}.See(Validates, true), Policy{}, false},
		{Traits{}.See(Validates, false), Policy{}, true},
	} {
		s := NewPlan([]Blob{{Digest: dig(1), Size: 1000}}, NewEvidence("a", tt.traits), tt.policy).Steps[0]
		try, more := s.Next([]Outcome{tried(Mount, "lib", got(201))})
		if more != tt.want || more && try.Kind != Check {
			t.Errorf("%+v: %s, %t", tt.traits, try, more)
		}
	}
}
