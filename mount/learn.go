package mount

// Learn returns the facts that the last of a blob's outcomes has shown, given
// those before it and what was known when the try was made. A miss says little
// of a host, since the blob may just not be there: it counts against a trait
// only where the blob was proven to be, or memory was wrong twice.
func Learn(b Blob, e Evidence, outcomes []Outcome) []Fact {
	if len(outcomes) == 0 {
		return nil
	}
	last := outcomes[len(outcomes)-1]
	facts := learnLast(b, e, last, outcomes[:len(outcomes)-1])
	switch last.Try.Kind {
	case Check, MountSelf, MountAny:
		facts = append(facts, Fact{Blob: b.Digest, Asked: true})
	}
	return facts
}

// learnLast returns what the last outcome says of blobs and host.
func learnLast(b Blob, e Evidence, last Outcome, before []Outcome) []Fact {
	v := Judge(b.Digest, last)
	if v == Unsure && last.Try.Resume && last.Sent == 0 && last.Status >= 400 && last.Status < 500 {
		return []Fact{see(Resumes, false)} // the session is gone
	}
	if v == Unsure || v == Limited || v == Failed {
		return nil
	}
	switch last.Try.Kind {
	case Check:
		facts := learnCheck(b, e, v, before, last.forbidden())
		if uploads(before) > 0 {
			facts = append(facts, refusals(b, v, before)...)
		}
		return facts
	case Mount:
		return append(learnMount(b, e, last, v), refusals(b, v, before)...)
	case MountSelf:
		return learnSelf(b, e, last, v)
	case MountAny:
		return append(learnAny(b, e, last, v), refusals(b, v, before)...)
	}
	return append(learnUpload(b, last, v), refusals(b, v, before)...)
}

// see returns a fact about the host.
func see(t Trait, value bool) Fact { return Fact{Trait: t, Value: value} }

func learnCheck(b Blob, e Evidence, v Verdict, before []Outcome, forbidden bool) []Fact {
	switch v {
	case Refused:
		if forbidden {
			return nil
		}
		return []Fact{see(Heads, false)}
	case Miss:
		facts := append([]Fact{see(Heads, true), InTarget(b.Digest, Absent)}, phantom(b, before)...)
		return append(facts, stray(b, e, false)...)
	}
	facts := append([]Fact{see(Heads, true), InTarget(b.Digest, Present)}, stray(b, e, true)...)
	for _, o := range before {
		v := Judge(b.Digest, o)
		switch {
		case (v == Unsure || v == Hit) && o.Try.Kind.places(): // what stands may be the work of this try
			return []Fact{see(Heads, true), InTarget(b.Digest, Placed)}
		case v != Miss:
		case o.Try.Kind == MountSelf: // it missed a blob that is there
			facts = append(facts, see(SelfMounts, false))
		case o.Try.Kind == MountAny:
			facts = append(facts, see(SeesTarget, false), see(Discovers, false))
		}
	}
	return facts
}

// stray returns what it shows that the target holds a blob, or does not, which
// the manifest that was looked at does not name.
func stray(b Blob, e Evidence, held bool) []Fact {
	known := e.blob(b.Digest)
	if e.standing != TagOther || known.presence != Unproven || known.placed || e.Belief(b.Digest, e.target) != NoBelief {
		return nil
	}
	return []Fact{see(Strays, held)}
}

// phantom returns what a second miss after a mount that was answered 201 shows:
// that it was none.
func phantom(b Blob, before []Outcome) []Fact {
	if len(before) < 2 || before[len(before)-1].Try.Kind != Check {
		return nil
	}
	if o := before[len(before)-2]; !o.Try.Kind.links() || Judge(b.Digest, o) != Hit {
		return nil
	}
	return []Fact{see(Phantoms, true)}
}

func learnMount(b Blob, e Evidence, o Outcome, v Verdict) []Fact {
	proven := false
	for _, s := range e.Sources(b.Digest) {
		proven = proven || s.Repository == o.Try.From && (s.Belief == Confirmed || s.Belief == Remembered && v == Miss && e.neverMounted(s))
	}
	blobGone := Fact{Blob: b.Digest, Doubted: true, Source: Source{Repository: o.Try.From}}
	switch {
	case v == Hit:
		return []Fact{InTarget(b.Digest, Placed), At(b.Digest, o.Try.From, Confirmed), see(MountsFrom, true)}
	case v == Miss:
		facts := opening(o, blobGone)
		if proven {
			facts = append(facts, see(MountsFrom, false))
		}
		return facts
	case o.Status == 404:
		return []Fact{blobGone, see(MissOpens, false)}
	case o.Status == 405 || o.Status == 415 || o.Status == 422 || proven && o.Status != 401 && o.Status != 403:
		return []Fact{Doubt(o.Try.From), see(MountsFrom, false)}
	}
	return []Fact{Doubt(o.Try.From)}
}

// neverMounted says whether a source that holds what is remembered of it has
// missed before, on a host that has mounted nothing yet. Memory is seldom wrong
// twice: the host does not mount.
func (e Evidence) neverMounted(s Source) bool {
	return e.misses(s.Repository) > 0 && e.traits.Of(MountsFrom).Yes == 0
}

func learnSelf(b Blob, e Evidence, o Outcome, v Verdict) []Fact {
	switch {
	case v == Hit:
		return append(stray(b, e, true), InTarget(b.Digest, Present), see(SelfMounts, true))
	case e.Stands(b.Digest): // it missed a blob that is there
		return opening(o, see(SelfMounts, false))
	case v == Miss:
		honoured, known := e.traits.Known(SelfMounts)
		if known && honoured {
			return opening(o, append(stray(b, e, false), InTarget(b.Digest, Absent))...)
		}
		return opening(o)
	case o.forbidden() && !e.Stands(b.Digest): // of the repository, perhaps: see refusals
		return nil
	case o.Status == 404: // absent, and the host says so with an error (cue)
		return []Fact{see(MissOpens, false)}
	}
	return []Fact{see(SelfMounts, false)}
}

func learnAny(b Blob, e Evidence, o Outcome, v Verdict) []Fact {
	switch v {
	case Hit:
		facts := []Fact{InTarget(b.Digest, Placed), see(TakesAny, true)}
		if e.Presence(b.Digest) == Absent || e.standing == RepoAbsent {
			return append(facts, see(Discovers, true))
		}
		return append(facts, see(SeesTarget, true))
	case Miss:
		facts := opening(o, see(TakesAny, true))
		if e.Stands(b.Digest) { // it was there to be found
			return append(facts, see(SeesTarget, false), see(Discovers, false))
		}
		for _, s := range e.Sources(b.Digest) {
			if s.Belief == Confirmed {
				return append(facts, see(Discovers, false))
			}
		}
		return facts
	}
	if o.forbidden() && !e.Stands(b.Digest) {
		return nil
	}
	return []Fact{see(TakesAny, false)}
}

func learnUpload(b Blob, o Outcome, v Verdict) []Fact {
	switch {
	case v == Hit && o.Try.Resume && o.Sent < b.Size:
		return []Fact{InTarget(b.Digest, Placed), see(Resumes, true)}
	case v == Hit:
		return []Fact{InTarget(b.Digest, Placed)}
	case o.Try.Form == Single && v == Refused && o.Status != 413:
		return []Fact{see(SinglePost, false)}
	}
	return nil
}

// forbidden says whether an outcome may be about the repository or the credential
// rather than the host.
func (o Outcome) forbidden() bool { return o.Status == 401 || o.Status == 403 }

// refusals returns what was refused to a blob that was placed then, and so is the
// way of the host. Where nothing can be placed, a quota may be full (413), or the
// repository forbidden (401, 403).
func refusals(b Blob, v Verdict, before []Outcome) []Fact {
	if v != Hit {
		return nil
	}
	var facts []Fact
	for _, o := range before {
		switch k, f := o.Try.Kind, o.Try.Form; {
		case k == Upload && o.Status == 413 && (f == Put || f == Single):
			facts = append(facts, Fact{Limit: b.Size})
		case k == Upload && o.Status == 413 && f == Stream:
			facts = append(facts, Fact{Limit: b.Size, Patch: true})
		case k == Upload && o.Status == 413:
			facts = append(facts, Fact{Limit: o.Try.Chunk, Patch: true})
		case o.Limited || !o.forbidden():
		case k == Check:
			facts = append(facts, see(Heads, false))
		case k == MountSelf:
			facts = append(facts, see(SelfMounts, false))
		case k == MountAny:
			facts = append(facts, see(TakesAny, false))
		}
	}
	return facts
}

// LearnCancel returns what the answer to the DELETE of a session has shown. A
// session that is not there any more says nothing, nor does a refusal that may be
// about this one alone.
func LearnCancel(status int) []Fact {
	switch status {
	case 200, 202, 204:
		return []Fact{see(Cancels, true)}
	case 400, 405, 501:
		return []Fact{see(Cancels, false)}
	}
	return nil
}

// LearnRefusal returns what the refusal of a manifest has shown.
func LearnRefusal(r Refusal) []Fact {
	if !r.explicit() && len(r.Missing) == 0 {
		return nil
	}
	return []Fact{see(Validates, true), see(NamesMissing, len(r.Missing) > 0)}
}

// opening adds to facts that a miss has opened a session.
func opening(o Outcome, facts ...Fact) []Fact {
	if o.Session && o.Try.Kind != MountAny {
		facts = append(facts, see(MissOpens, true))
	}
	return facts
}
