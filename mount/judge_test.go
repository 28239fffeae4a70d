package mount

import "testing"

// verdictRow is what one answer means to each kind of try. A mount of any of
// the three kinds means the same.
type verdictRow struct {
	answer               Outcome
	check, mount, upload Verdict
}

// verdictTable is the whole outcome table.
func verdictTable() []verdictRow {
	status := func(s int) Outcome { return Outcome{Status: s} }
	return []verdictRow{
		{status(0), Unsure, Unsure, Unsure},
		{status(200), Hit, Refused, Unsure},
		{status(201), Refused, Hit, Hit},
		{Outcome{Status: 201, Digest: dig(1)}, Refused, Hit, Hit},
		{Outcome{Status: 201, Digest: dig(2)}, Refused, Refused, Hit},
		{Outcome{Status: 201, Digest: "sha512:00"}, Refused, Hit, Hit},
		{Outcome{Status: 201, Digest: "no digest"}, Refused, Refused, Hit},
		{status(202), Refused, Miss, Unsure},
		{Outcome{Status: 202, Session: true}, Refused, Miss, Unsure},
		{status(204), Refused, Refused, Hit},
		{status(206), Refused, Refused, Failed},
		{status(307), Refused, Refused, Failed},
		{status(400), Refused, Refused, Unsure},
		{status(401), Refused, Refused, Failed},
		{status(403), Refused, Refused, Failed},
		{status(404), Miss, Refused, Unsure},
		{status(405), Refused, Refused, Failed},
		{status(408), Unsure, Unsure, Unsure},
		{status(413), Refused, Refused, Refused},
		{status(415), Refused, Refused, Failed},
		{status(416), Refused, Refused, Unsure},
		{status(422), Refused, Refused, Failed},
		{status(429), Limited, Limited, Limited},
		{Outcome{Status: 403, Limited: true}, Limited, Limited, Limited},
		{Outcome{Status: 503, Limited: true}, Limited, Limited, Limited},
		{status(500), Unsure, Unsure, Unsure},
		{status(502), Unsure, Unsure, Unsure},
		{status(503), Unsure, Unsure, Unsure},
		{Outcome{Status: 400, Corrupt: true}, Refused, Refused, Unsure},
		{Outcome{Status: 422, Corrupt: true}, Refused, Refused, Unsure},
		{Outcome{Status: 201, Fatal: true}, Failed, Failed, Failed},
		{Outcome{Status: 0, Fatal: true}, Failed, Failed, Failed},
		{Outcome{Status: 429, Fatal: true}, Failed, Failed, Failed},
	}
}

func TestJudge(t *testing.T) {
	for _, row := range verdictTable() {
		want := map[Kind]Verdict{
			Check: row.check, Mount: row.mount, MountSelf: row.mount, MountAny: row.mount, Upload: row.upload,
		}
		for kind, verdict := range want {
			o := row.answer
			o.Try.Kind = kind
			if got := Judge(dig(1), o); got != verdict {
				t.Errorf("%s answered %+v: %s, want %s", kind, row.answer, got, verdict)
			}
		}
	}
}

// TestMountNeverFails: no answer to a mount or a Check ends a step.
func TestMountNeverFails(t *testing.T) {
	for status := range 600 {
		for _, kind := range []Kind{Check, Mount, MountSelf, MountAny} {
			for flags := range 8 {
				o := Outcome{
					Try: Try{Kind: kind}, Status: status,
					Session: flags&1 > 0, Limited: flags&2 > 0, Corrupt: flags&4 > 0,
				}
				v := Judge(dig(1), o)
				if v == Failed || v < Hit || v > Failed {
					t.Fatalf("%s answered %+v: %s", kind, o, v)
				}
				if hit := status == 201 || kind == Check && status == 200; v == Hit && !hit {
					t.Fatalf("%s answered %d: hit", kind, status)
				}
			}
		}
	}
}

// TestHitsAreRare: only the statuses by which a registry says that it is done
// end a step well.
func TestHitsAreRare(t *testing.T) {
	hits := map[Kind][]int{Check: {200}, Mount: {201}, MountSelf: {201}, MountAny: {201}, Upload: {201, 204}}
	for kind, want := range hits {
		var got []int
		for status := range 600 {
			if Judge(dig(1), Outcome{Try: Try{Kind: kind}, Status: status}) == Hit {
				got = append(got, status)
			}
		}
		if len(got) != len(want) || got[0] != want[0] || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("%s hits at %v, want %v", kind, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	text := func(b []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	names := map[string]string{
		Check.String():                           "check",
		text(MountSelf.MarshalText()):            "mount-self",
		MountAny.String():                        "mount-any",
		Kind(9).String():                         "Kind(9)",
		Hit.String():                             "hit",
		Miss.String():                            "miss",
		text(Refused.MarshalText()):              "refused",
		Unsure.String():                          "unsure",
		Limited.String():                         "limited",
		Failed.String():                          "failed",
		Verdict(9).String():                      "Verdict(9)",
		Undone.String():                          "undone",
		Stands.String():                          "present",
		text(Mounted.MarshalText()):              "mounted",
		Uploaded.String():                        "uploaded",
		Skipped.String():                         "skipped",
		Unsettled.String():                       "failed",
		Try{Kind: Mount, From: "a/b"}.String():   "mount from a/b",
		Try{Kind: Upload}.String():               "upload",
		Try{Kind: Upload, Form: Stream}.String(): "upload in a stream",
		LookDigest.String():                      "look at the digest",
		LookTags.String():                        "look at the tags",
		LookTag.String():                         "look at the tag",
		LookLast.String():                        "look at the last manifest",
		NoLook.String():                          "no look",
		SelfMounts.String():                      "self-mounts",
		Heads.String():                           "answers HEAD",
		Trait(99).String():                       "Trait(99)",
	}
	for got, want := range names {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
