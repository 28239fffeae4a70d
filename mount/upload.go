package mount

// maxRefusals bounds how often an upload may be refused in one way, and how
// often a Check or an upload that met a rate limit is made again.
const maxRefusals = 2

// The bounds of resuming and of chunks.
const (
	maxResumes = 100     // of one blob; a long upload over a bad line may be cut often
	maxStuck   = 2       // resumes in a row that bring no byte
	maxLate    = 2       // uploads of one blob whose answer does not come in time
	minChunk   = 1 << 18 // bytes: a host that takes no chunk of this size takes no upload
	cutRate    = 1e-11   // how likely an upload is cut, for each byte
	cutPause   = 0.1     // seconds until the session of an upload that was cut is asked: what was on the way has to be taken in
	stepPause  = 0.4     // seconds until one that was out of step is asked again
)

// send returns the upload that begins anew: in the form that the size and the
// host ask for, and that was not refused after these outcomes.
//
// One PUT is the cheapest. A PATCH with all content and an empty PUT cost a
// request more, but can be resumed where a PUT mostly cannot, which is worth it
// for large blobs; and some hosts limit the size of a PUT only (ACR). Chunks are
// for hosts, or proxies before them, that limit any body.
func (s Step) send(outcomes []Outcome) Try {
	t := Try{Kind: Upload}
	if s.single() && !opened(outcomes) {
		t.Form = Single
	}
	if size := float64(s.Blob.Size); size*size*cutRate/2 > s.policy.BytesPerRequest {
		if resumes, known := s.traits.Known(Resumes); resumes || !known {
			t.Form = Stream
		}
	}
	if limit := s.traits.PutLimit(); limit > 0 && s.Blob.Size >= limit {
		t.Form = Stream
	}
	if limit := s.traits.BodyLimit(); limit > 0 && s.Blob.Size >= limit {
		t.Form, t.Chunk = Chunks, limit/2
	}
	for _, o := range outcomes {
		if o.Try.Kind == Upload && Judge(s.Blob.Digest, o) == Refused {
			t = s.instead(o)
		}
	}
	return t
}

// single says whether the host is known to take content in the POST.
func (s Step) single() bool {
	single, known := s.traits.Known(SinglePost)
	return known && single
}

// opened says whether a mount has opened a session that was not used yet.
func opened(outcomes []Outcome) bool {
	open := false
	for _, o := range outcomes {
		open = (open || o.Try.Kind.isMount() && o.Session) && o.Try.Kind != Upload
	}
	return open
}

// instead returns the form to take after one was refused.
func (s Step) instead(o Outcome) Try {
	switch {
	case o.Status != 413:
		return Try{Kind: Upload, Form: Put} // the other form is not for this host
	case o.Try.Form == Put || o.Try.Form == Single:
		return Try{Kind: Upload, Form: Stream}
	case o.Try.Form == Stream:
		return Try{Kind: Upload, Form: Chunks, Chunk: s.Blob.Size / 2}
	}
	return Try{Kind: Upload, Form: Chunks, Chunk: o.Try.Chunk / 2}
}

// resume returns the try that goes on with an upload that was cut, if its
// session may still hold what was sent. When all content had gone out, only the
// answer was lost, most likely, and a Check comes first.
func (s Step) resume(outcomes []Outcome) (Try, bool) {
	at, stuck, resumes := -1, 0, 0
	var held int64 // by the session
	for i, o := range outcomes {
		if o.Try.Kind != Upload {
			continue
		}
		at = i
		switch {
		case !o.Try.Resume:
			stuck, held = 0, 0
			continue
		case o.Offset > held: // the try before it has brought something
			stuck, held = 0, o.Offset
		}
		stuck, resumes = stuck+1, resumes+1
	}
	if at < 0 || stuck >= maxStuck || resumes >= maxResumes || unanswered(outcomes) >= maxLate {
		return Try{}, false
	}
	cut := outcomes[at]
	if seen := s.traits.Of(Resumes); seen.No > seen.Yes+1 || !cut.Session || Judge(s.Blob.Digest, cut) != Unsure {
		return Try{}, false // one session that was gone may have gone with a registry that was restarted
	}
	checked := at < len(outcomes)-1
	if (cut.Whole || cut.Late) && !checked && s.checks(outcomes) {
		return Try{}, false
	}
	t := Try{Kind: Upload, Form: cut.Try.Form, Chunk: cut.Try.Chunk, Resume: true, Pause: cutPause}
	if cut.Status == 416 {
		t.Pause = stepPause
	}
	return t, true
}

// exhausted says whether nothing is left to try: the upload was begun as often
// as the policy allows, was refused again in the same way, or cannot be made.
// An upload whose end is not known gets a last Check before.
func (s Step) exhausted(outcomes []Outcome) bool {
	last := outcomes[len(outcomes)-1]
	if s.Blob.Sealed && last.Try.Kind == Upload {
		return true
	}
	if last.Try.Kind == Upload && s.limits(outcomes) > maxRefusals {
		return true
	}
	unsure := last.Try.Kind == Upload && Judge(s.Blob.Digest, last) == Unsure && s.checks(outcomes)
	if unanswered(outcomes) >= maxLate {
		return !unsure && !s.again(outcomes)
	}
	if _, ok := s.resume(outcomes); ok {
		return false
	}
	begun, refused := 0, 0
	forms := map[Form]int{}
	for _, o := range outcomes {
		v := Judge(s.Blob.Digest, o)
		switch {
		case o.Try.Kind != Upload || v == Limited || o.Try.Resume:
		case v == Refused:
			forms[o.Try.Form]++
		default:
			begun++
			if o.Status == 400 && !o.Corrupt {
				refused++
			}
		}
	}
	next := s.send(outcomes)
	if forms[Put] > 1 || forms[Stream] > 1 || next.Form == Chunks && next.Chunk < minChunk {
		return true
	}
	return (begun >= s.policy.Uploads || refused >= maxRefusals) && !unsure && !s.again(outcomes)
}

// unanswered counts the uploads whose answer did not come in time.
func unanswered(outcomes []Outcome) int {
	n := 0
	for _, o := range outcomes {
		if o.Try.Kind == Upload && o.Late {
			n++
		}
	}
	return n
}

func uploads(outcomes []Outcome) int {
	n := 0
	for _, o := range outcomes {
		if o.Try.Kind == Upload {
			n++
		}
	}
	return n
}
