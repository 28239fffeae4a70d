package mount

import (
	"fmt"
	"slices"
	"testing"
)

// move is a try that is expected, and what it comes back with.
type move struct {
	try string
	out Outcome
}

// walk is a step climbed to its end, or to the last move.
type walk struct {
	name   string
	blob   Blob // dig(1) of 100 MiB unless it says otherwise
	facts  []Fact
	policy Policy
	moves  []move
	end    Disposition
}

// got returns the outcome of a status.
func got(status int) Outcome { return Outcome{Status: status} }

// session returns a miss that has opened a session.
func session() Outcome { return Outcome{Status: 202, Session: true} }

func (w walk) step() Step {
	b := w.blob
	b.Digest = dig(1)
	if b.Size == 0 {
		b.Size = 50 << 20
	}
	return NewPlan([]Blob{b}, NewEvidence("team/app", Traits{}, w.facts...), w.policy).Steps[0]
}

func runWalks(t *testing.T, walks []walk) {
	t.Helper()
	for _, w := range walks {
		t.Run(w.name, func(t *testing.T) {
			s := w.step()
			var outcomes []Outcome
			for i, m := range w.moves {
				try, ok := s.Next(outcomes)
				if !ok || try.String() != m.try {
					t.Fatalf("move %d is %q (%v), want %q; after %+v", i, try, ok, m.try, outcomes)
				}
				m.out.Try = try
				outcomes = append(outcomes, m.out)
			}
			if d := s.Disposition(outcomes); d != w.end {
				t.Errorf("ended %s, want %s", d, w.end)
			}
			if try, ok := s.Next(outcomes); ok != (w.end == Undone) {
				t.Errorf("then %q, %v", try, ok)
			}
		})
	}
}

// base says that team/base is sure to hold the blob, and the target does not.
func base() []Fact {
	return []Fact{At(dig(1), "team/base", Confirmed), InTarget(dig(1), Absent)}
}

func TestStepHits(t *testing.T) {
	runWalks(t, []walk{
		{name: "found by a check", moves: []move{{"check", got(200)}}, end: Stands},
		{name: "mounted", facts: base(), moves: []move{{"mount from team/base", got(201)}}, end: Mounted},
		{name: "discovered", moves: []move{{"check", got(404)}, {"mount-any", got(201)}}, end: Mounted},
		{name: "stood all the time", blob: Blob{Size: 100}, moves: []move{{"mount-self", got(201)}}, end: Stands},
		{name: "uploaded", blob: Blob{Size: 100}, moves: []move{{"mount-self", session()}, {"upload", got(201)}}, end: Uploaded},
		{name: "known to be absent", blob: Blob{Size: 100}, facts: []Fact{InTarget(dig(1), Absent)},
			moves: []move{{"upload", got(204)}}, end: Uploaded},
		{name: "proven", facts: []Fact{InTarget(dig(1), Present)}, end: Stands},
		{name: "placed by a sibling", facts: []Fact{InTarget(dig(1), Placed)}, end: Stands},
		{name: "every try misses", facts: append(base(), At(dig(1), "lib", Listed)), moves: []move{
			{"mount from team/base", session()}, {"mount-any", session()}, {"mount from lib", session()}, {"upload", got(201)},
		}, end: Uploaded},
	})
}

func TestStepAnswers(t *testing.T) {
	limited := Outcome{Status: 403, Limited: true}
	runWalks(t, []walk{
		{name: "a rate limit on a mount moves on", facts: base(), moves: []move{
			{"mount from team/base", limited}, {"mount-any", got(429)}, {"upload", got(201)},
		}, end: Uploaded},
		{name: "a rate limit on an upload", blob: Blob{Size: 100}, facts: []Fact{InTarget(dig(1), Absent)}, moves: []move{
			{"upload", limited}, {"upload", got(429)}, {"upload", got(201)},
		}, end: Uploaded},
		{name: "a rate limit on a check", moves: []move{{"check", got(429)}, {"check", got(200)}}, end: Stands},
		{name: "a limit that lifts between is no end", facts: base(), moves: []move{
			{"mount from team/base", session()}, {"mount-any", got(500)}, {"check", limited}, {"check", limited}, {"check", got(404)},
			{"upload", limited}, {"upload", limited}, {"upload", got(201)},
		}, end: Uploaded},
		{name: "a limit that does not lift", blob: Blob{Size: 100}, facts: []Fact{InTarget(dig(1), Absent)}, moves: []move{
			{"upload", limited}, {"upload", limited}, {"upload", limited},
		}, end: Unsettled},
		{name: "a limit on a check that does not lift", blob: Blob{Size: 100 << 10}, policy: Policy{NoDiscovery: true}, moves: []move{
			{"check", limited}, {"check", limited}, {"check", limited}, {"mount-self", session()}, {"upload", got(201)},
		}, end: Uploaded},
		{name: "a limit on the last check", blob: Blob{Size: 100}, facts: []Fact{InTarget(dig(1), Absent)}, policy: Policy{Uploads: 1},
			moves: []move{{"upload", got(0)}, {"check", limited}, {"check", got(200)}}, end: Uploaded},
		{name: "a limit on the last check that does not lift", blob: Blob{Size: 100}, facts: []Fact{InTarget(dig(1), Absent)},
			policy: Policy{Uploads: 1}, moves: []move{
				{"upload", got(0)}, {"check", limited}, {"check", limited}, {"check", limited},
			}, end: Unsettled},
		{name: "a limited check still counts", moves: []move{
			{"check", limited}, {"check", got(404)}, {"mount-any", session()}, {"upload", got(201)},
		}, end: Uploaded},
		{name: "500 to a mount that happened", facts: base(), moves: []move{
			{"mount from team/base", got(500)}, {"check", got(200)},
		}, end: Mounted},
		{name: "500 to a self-mount", blob: Blob{Size: 100}, moves: []move{{"mount-self", got(500)}, {"check", got(200)}}, end: Stands},
		{name: "limited 503 to a mount is no mount", facts: base(), moves: []move{
			{"mount from team/base", Outcome{Status: 503, Limited: true}}, {"mount-any", Outcome{Status: 503, Limited: true}},
			{"upload", Outcome{Fatal: true}},
		}, end: Unsettled},
		{name: "limited 503 to a mount, and it stands", facts: []Fact{At(dig(1), "team/base", Confirmed)}, moves: []move{
			{"mount from team/base", Outcome{Status: 503, Limited: true}}, {"check", got(200)},
		}, end: Stands},
		{name: "502 to a mount, then absent", facts: []Fact{At(dig(1), "team/base", Confirmed)}, policy: Policy{NoDiscovery: true},
			moves: []move{{"mount from team/base", got(502)}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "no answer to a mount, nor to the check", facts: base(), policy: Policy{NoDiscovery: true},
			moves: []move{{"mount from team/base", got(0)}, {"check", got(503)}, {"upload", got(201)}}, end: Uploaded},
		{name: "no answer to discovery", moves: []move{{"check", got(404)}, {"mount-any", got(0)}, {"check", got(200)}}, end: Mounted},
		{name: "refused source", facts: base(), policy: Policy{NoDiscovery: true},
			moves: []move{{"mount from team/base", got(403)}, {"upload", got(201)}}, end: Uploaded},
		{name: "refused discovery is not asked again", facts: append(base(), At(dig(1), "lib", Listed)), moves: []move{
			{"mount from team/base", session()}, {"mount-any", got(400)}, {"mount from lib", session()}, {"upload", got(201)},
		}, end: Uploaded},
		{name: "404 to a mount opens nothing", facts: base(), policy: Policy{NoDiscovery: true},
			moves: []move{{"mount from team/base", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "refused HEAD is not asked again", facts: []Fact{At(dig(1), "team/base", Confirmed)}, policy: Policy{NoDiscovery: true},
			moves: []move{
				{"mount from team/base", got(500)}, {"check", got(405)}, {"mount-self", got(500)}, {"upload", got(0)}, {"upload", got(201)},
			}, end: Uploaded},
		{name: "fatal", facts: base(), moves: []move{{"mount from team/base", Outcome{Fatal: true}}}, end: Unsettled},
	})
}

// TestStepUploads: once the bytes have begun to go out, only they count.
func TestStepUploads(t *testing.T) {
	absent := []Fact{InTarget(dig(1), Absent)}
	small := Blob{Size: 100}
	corrupt := Outcome{Status: 400, Corrupt: true}
	runWalks(t, []walk{
		{name: "too large for a PUT", blob: small, facts: absent,
			moves: []move{{"upload", got(413)}, {"upload in a stream", got(201)}}, end: Uploaded},
		{name: "too large in any form", blob: small, facts: absent,
			moves: []move{{"upload", got(413)}, {"upload in a stream", got(413)}}, end: Unsettled},
		{name: "too large but in chunks", facts: append(absent, see(TakesAny, false)),
			moves: []move{{"upload", got(413)}, {"upload in a stream", got(413)}, {"upload in chunks", got(413)}, {"upload in chunks", got(201)}}, end: Uploaded},
		{name: "known to be too large in any form", facts: append(absent, see(TakesAny, false), Fact{Limit: 100}, Fact{Limit: 1 << 20, Patch: true}),
			moves: []move{{"upload in chunks", got(201)}}, end: Uploaded},
		{name: "a stream is refused", blob: small, facts: append(absent, Fact{Limit: 100}),
			moves: []move{{"upload in a stream", got(405)}, {"upload", got(201)}}, end: Uploaded},
		{name: "cut, and resumed", blob: small, facts: absent,
			moves: []move{{"upload", cut(9)}, {"upload the rest", got(201)}}, end: Uploaded},
		{name: "cut often, and resumed", blob: small, facts: absent,
			moves: []move{{"upload", cut(9)}, {"upload the rest", from(9, cut(9))}, {"upload the rest", from(18, cut(9))}, {"upload the rest", from(27, cut(9))}, {"upload the rest", got(201)}}, end: Uploaded},
		{name: "sent, and nothing held", blob: small, facts: absent,
			moves: []move{{"upload", cut(90)}, {"upload the rest", cut(90)}, {"upload the rest", cut(90)}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "held, and then no more", blob: small, facts: absent,
			moves: []move{{"upload", cut(9)}, {"upload the rest", from(9, cut(9))}, {"upload the rest", from(9, cut(9))}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "answered in between, and more held", blob: small, facts: absent,
			moves: []move{{"upload", cut(9)}, {"upload the rest", from(9, late(20))}, {"upload the rest", from(29, late(20))}, {"upload the rest", from(49, got(201))}}, end: Uploaded},
		{name: "cut, and stuck", blob: small, facts: absent,
			moves: []move{{"upload", cut(9)}, {"upload the rest", cut(0)}, {"upload the rest", cut(0)}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "cut, and out of step", blob: small, facts: absent,
			moves: []move{{"upload", cut(9)}, {"upload the rest", behind()}, {"upload the rest", got(201)}}, end: Uploaded},
		{name: "cut, and out of step for good", blob: small, facts: absent,
			moves: []move{{"upload", cut(9)}, {"upload the rest", behind()}, {"upload the rest", behind()}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "cut, and the session is gone", blob: small, facts: absent,
			moves: []move{{"upload", cut(9)}, {"upload the rest", got(404)}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "cut, after another session was gone", blob: small, facts: append(absent, see(Resumes, false)),
			moves: []move{{"upload", cut(9)}, {"upload the rest", got(201)}}, end: Uploaded},
		{name: "cut, and the host does not resume", blob: small, facts: append(absent, see(Resumes, false), see(Resumes, false)),
			moves: []move{{"upload", cut(9)}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "in one request where the host is known for it", blob: small, facts: append(absent, see(SinglePost, true)),
			moves: []move{{"upload in one request", got(201)}}, end: Uploaded},
		{name: "not in one request after all", blob: small, facts: append(absent, see(SinglePost, true)),
			moves: []move{{"upload in one request", session()}, {"upload", got(201)}}, end: Uploaded},
		{name: "all sent, answer lost", blob: small, facts: absent,
			moves: []move{{"upload", whole()}, {"check", got(200)}}, end: Uploaded},
		{name: "all sent, answer lost, not there", blob: small, facts: absent,
			moves: []move{{"upload", whole()}, {"check", got(404)}, {"upload the rest", got(201)}}, end: Uploaded},
		{name: "known to be too large", blob: small, facts: append(absent, Fact{Limit: 100}),
			moves: []move{{"upload in a stream", got(201)}}, end: Uploaded},
		{name: "below the limit", blob: small, facts: append(absent, Fact{Limit: 101}),
			moves: []move{{"upload", got(201)}}, end: Uploaded},
		{name: "other bytes than the digest", blob: small, facts: absent,
			moves: []move{{"upload", corrupt}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "other bytes, but it stands", blob: small, facts: absent,
			moves: []move{{"upload", corrupt}, {"check", got(200)}}, end: Uploaded},
		{name: "refused twice", blob: small, facts: absent,
			moves: []move{{"upload", got(400)}, {"check", got(404)}, {"upload", got(400)}, {"check", got(404)}}, end: Unsettled},
		{name: "refused twice, but it stands", blob: small, facts: absent,
			moves: []move{{"upload", got(400)}, {"check", got(404)}, {"upload", got(400)}, {"check", got(200)}}, end: Uploaded},
		{name: "refused twice where HEAD says nothing", blob: small, facts: append(absent, see(Heads, false)),
			moves: []move{{"upload", got(400)}, {"upload", got(400)}}, end: Unsettled},
		{name: "session gone", blob: small, facts: absent,
			moves: []move{{"upload", got(404)}, {"check", got(404)}, {"upload", got(416)}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "begun as often as allowed", blob: small, facts: absent, policy: Policy{Uploads: 2},
			moves: []move{{"upload", got(0)}, {"check", got(404)}, {"upload", got(503)}, {"check", got(404)}}, end: Unsettled},
		{name: "the last one arrived", blob: small, facts: absent, policy: Policy{Uploads: 1},
			moves: []move{{"upload", got(0)}, {"check", got(200)}}, end: Uploaded},
		{name: "denied", blob: small, facts: absent, moves: []move{{"upload", got(403)}}, end: Unsettled},
		{name: "no mount once the bytes went out", facts: base(), policy: Policy{NoDiscovery: true}, moves: []move{
			{"mount from team/base", session()}, {"upload", got(500)}, {"check", got(500)}, {"upload", got(201)},
		}, end: Uploaded},
	})
}

func TestStepPolicies(t *testing.T) {
	known := []Fact{At(dig(1), "team/base", Confirmed)}
	runWalks(t, []walk{
		{name: "force", facts: append(known, InTarget(dig(1), Present)), policy: Policy{Force: true},
			moves: []move{{"upload", got(0)}, {"upload", got(201)}}, end: Uploaded},
		{name: "force wins over strict", policy: Policy{Force: true, Strict: true}, moves: []move{{"upload", got(201)}}, end: Uploaded},
		{name: "force gives up", policy: Policy{Force: true, Uploads: 2}, moves: []move{{"upload", got(0)}, {"upload", got(0)}}, end: Unsettled},
		{name: "no mounts", facts: known, policy: Policy{NoMounts: true},
			moves: []move{{"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "no mounts, and absent", facts: base(), policy: Policy{NoMounts: true}, moves: []move{{"upload", got(201)}}, end: Uploaded},
		{name: "no discovery", policy: Policy{NoDiscovery: true}, moves: []move{{"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "strict checks what is proven", facts: []Fact{InTarget(dig(1), Present)}, policy: Policy{Strict: true},
			moves: []move{{"check", got(200)}}, end: Stands},
		{name: "strict, and the proof was wrong", facts: append(known, InTarget(dig(1), Present)), policy: Policy{Strict: true}, moves: []move{
			{"check", got(404)}, {"mount from team/base", session()}, {"mount-any", session()}, {"upload", got(201)},
		}, end: Uploaded},
		{name: "strict, small and wrong", blob: Blob{Size: 100}, facts: []Fact{InTarget(dig(1), Present)}, policy: Policy{Strict: true},
			moves: []move{{"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "strict checks what is absent", facts: base(), policy: Policy{Strict: true},
			moves: []move{{"check", got(404)}, {"mount from team/base", got(201)}}, end: Mounted},
		{name: "strict where HEAD is refused", facts: append(base(), see(Heads, false)), policy: Policy{Strict: true},
			moves: []move{{"mount from team/base", got(201)}}, end: Mounted},
		{name: "non-distributable", blob: Blob{External: true}, facts: known, policy: Policy{Force: true}, end: Skipped},
		{name: "non-distributable though absent", blob: Blob{External: true}, facts: base(), end: Skipped},
	})
}

func TestStepHosts(t *testing.T) {
	known := []Fact{At(dig(1), "team/base", Confirmed)}
	runWalks(t, []walk{
		{name: "a host that refused HEAD", facts: append(known, see(Heads, false)), moves: []move{
			{"mount from team/base", got(500)}, {"mount-self", session()}, {"mount-any", got(500)}, {"upload", got(201)},
		}, end: Uploaded},
		{name: "a host that refused discovery", facts: []Fact{see(TakesAny, false), InTarget(dig(1), Absent)}, blob: Blob{Size: 20 << 30},
			moves: []move{{"upload in a stream", got(201)}}, end: Uploaded},
		{name: "a mount that misses is free where it opens a session", facts: append(base(), see(MountsFrom, false), see(MountsFrom, false)),
			blob: Blob{Size: 100}, moves: []move{{"mount from team/base", session()}, {"upload", got(201)}}, end: Uploaded},
		{name: "a host that mounts from nowhere", facts: append(base(), see(MountsFrom, false), see(MissOpens, false)),
			blob: Blob{Size: 100}, policy: Policy{NoDiscovery: true}, moves: []move{{"upload", got(201)}}, end: Uploaded},
		{name: "a host that discovers", facts: append(base(), see(Discovers, true), see(MountsFrom, false)),
			moves: []move{{"mount-any", got(201)}}, end: Mounted},
		{name: "202 without a session: the next miss would cost a request", blob: Blob{Size: 2 << 10}, policy: Policy{NoDiscovery: true},
			facts: append(base(), At(dig(1), "lib", Listed)), moves: []move{{"mount from team/base", got(202)}, {"upload", got(201)}}, end: Uploaded},
		{name: "no check after an honest self-mount", facts: []Fact{see(SelfMounts, true), see(SelfMounts, true), see(SelfMounts, true),
			see(SelfMounts, true), see(SelfMounts, true)}, blob: Blob{Size: 50 << 10}, policy: Policy{NoDiscovery: true},
			moves: []move{{"mount-self", session()}, {"upload", got(201)}}, end: Uploaded},
	})
}

// TestSealed: a blob that cannot be sent is looked for everywhere before the
// step gives up.
func TestSealed(t *testing.T) {
	b := Blob{Digest: dig(1), Size: 100, Sealed: true}
	facts := []Fact{At(dig(1), "team/base", Confirmed), At(dig(1), "lib", Listed), At(dig(1), "other", Claimed)}
	hosts := [][]Fact{nil, {InTarget(dig(1), Absent)}, {Looked(RepoAbsent)}, {see(SelfMounts, true)}, {see(MissOpens, false)},
		{see(MountsFrom, false), see(MountsFrom, false), see(MountsFrom, false)}}
	for _, host := range hosts {
		e := NewEvidence("team/app", Traits{}, append(host, facts...)...)
		s := NewPlan([]Blob{b}, e, Policy{}).Steps[0]
		seen := map[string]bool{}
		ladder := s.Ladder()
		for _, try := range ladder {
			seen[try.String()] = true
		}
		want := []string{"mount from team/base", "mount from lib", "mount from other", "mount-any"}
		if e.Presence(b.Digest) != Absent {
			want = append(want, "check")
		}
		for _, try := range want {
			if !seen[try] {
				t.Errorf("with %+v: no %q in %v", host, try, ladder)
			}
		}
		if last := ladder[len(ladder)-1]; last.Kind != Upload {
			t.Errorf("with %+v: ends with %q", host, last)
		}
	}
	runWalks(t, []walk{
		{name: "sealed and nowhere", blob: b, facts: base(), moves: []move{
			{"mount from team/base", session()}, {"mount-any", session()}, {"upload", got(0)},
		}, end: Unsettled},
		{name: "sealed and there", blob: b, moves: []move{{"check", got(200)}}, end: Stands},
	})
}

// TestCostAfter: what an answer leaves to pay.
func TestCostAfter(t *testing.T) {
	s := walk{facts: base(), policy: Policy{NoDiscovery: true}}.step()
	bytes := s.policy.sending(s.Blob.Size)
	mount := Try{Kind: Mount, From: "team/base"}
	for _, c := range []struct {
		name  string
		after []Outcome
		want  float64
	}{
		{"a session saves the POST", []Outcome{{Try: mount, Status: 202, Session: true}}, 1 + bytes},
		{"202 without a session", []Outcome{{Try: mount, Status: 202}}, 2 + bytes},
		{"404 opens nothing", []Outcome{{Try: mount, Status: 404}}, 2 + bytes},
		{"refused", []Outcome{{Try: mount, Status: 403}}, 2 + bytes},
		{"a check that is due", []Outcome{{Try: mount, Status: 500}}, 3 + bytes},
		{"mounted", []Outcome{{Try: mount, Status: 201}}, 0},
	} {
		if got := s.costAfter(c.after); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	strict := walk{facts: []Fact{InTarget(dig(1), Present)}, policy: Policy{Strict: true}}.step()
	if got := strict.Cost(); got != 1 {
		t.Errorf("a strict step of a blob that stands costs %v, want 1", got)
	}
}

// TestMaxSources: a blob is tried from a bounded number of repositories, also
// where a new plan after each miss brings others forward.
func TestMaxSources(t *testing.T) {
	b := Blob{Digest: dig(1), Size: 1 << 30, Sealed: true}
	e := NewEvidence("team/app", Traits{}, InTarget(dig(1), Absent))
	for i := range 2 * maxSources {
		e = e.With(At(dig(1), fmt.Sprint("r", i), Claimed))
	}
	var outcomes []Outcome
	mounts := 0
	for {
		try, ok := NewPlan([]Blob{b}, e, Policy{NoDiscovery: true}).Steps[0].Next(outcomes)
		if !ok || try.Kind == Upload {
			break
		}
		mounts++
		o := session()
		if o.Try = try; mounts%2 == 0 {
			o.Status, o.Session = 403, false
		}
		outcomes = append(outcomes, o)
		e = e.With(Learn(b, e, outcomes)...)
	}
	if mounts != maxSources {
		t.Errorf("%d sources were tried, want %d: %+v", mounts, maxSources, outcomes)
	}
}

// cut returns the outcome of an upload that broke off after n more bytes.
func cut(n int64) Outcome { return Outcome{Session: true, Sent: n} }

// TestStepPhantoms: on hosts that were seen to answer 201 without mounting, a
// 201 is verified.
func TestStepPhantoms(t *testing.T) {
	facts := append(base(), see(Phantoms, true))
	no := Policy{NoDiscovery: true}
	runWalks(t, []walk{
		{name: "it arrived", facts: facts, policy: no,
			moves: []move{{"mount from team/base", got(201)}, {"check", got(200)}}, end: Mounted},
		{name: "it arrived late", facts: facts, policy: no,
			moves: []move{{"mount from team/base", got(201)}, {"check", got(404)}, {"check", got(200)}}, end: Mounted},
		{name: "it was none", facts: facts, policy: no,
			moves: []move{{"mount from team/base", got(201)}, {"check", got(404)}, {"check", got(404)}, {"upload", got(201)}}, end: Uploaded},
		{name: "elsewhere a 201 is enough", facts: base(), policy: no, moves: []move{{"mount from team/base", got(201)}}, end: Mounted},
		{name: "it cannot be verified", facts: append(facts, see(Heads, false)), policy: no,
			moves: []move{{"mount from team/base", got(201)}}, end: Mounted},
	})
	s := NewPlan([]Blob{{Digest: dig(1), Size: 1 << 20}}, NewEvidence("team/app", Traits{}, facts...), no).Steps[0]
	outcomes := []Outcome{{Try: Try{Kind: Mount, From: "team/base"}, Status: 201}, {Try: Try{Kind: Check}, Status: 404}}
	if try, ok := s.Next(outcomes); !ok || try.Pause != patience {
		t.Errorf("next %+v, %v; want a pause", try, ok)
	}
	got := Learn(s.Blob, NewEvidence("team/app", Traits{}), append(outcomes, Outcome{Try: Try{Kind: Check}, Status: 404}))
	if !slices.ContainsFunc(got, func(f Fact) bool { return f.Trait == Phantoms && f.Value }) {
		t.Errorf("learned %+v, want phantoms", got)
	}
}
