package mount

import "github.com/opencontainers/go-digest"

// Refusal is how a registry refused a manifest.
type Refusal struct {
	Status int
	// Status 2xx is a manifest that was taken, but by its digest as another one.
	// Codes are the error codes of the answer.
	Codes []string
	// Missing are the digests that the answer names as missing.
	Missing []digest.Digest
	// Texts are the messages of the answer, in no form that is agreed on.
	Texts []string
}

// Remedy is what is worth doing before a refused manifest is put again.
type Remedy struct {
	// Blobs are the indexes of the blobs to bring again.
	Blobs []int
	// Policy with which they are brought: either everything that was believed
	// of them is checked, or they are uploaded whatever is said of them.
	Policy Policy
	// Pause is how long to wait before, in seconds: some registries know a blob
	// only after a while (GHCR, Nexus, Quay).
	Pause float64
}

// The rounds of a repair. A registry gets a last chance to become consistent
// when all blobs were uploaded and it still misses some.
const (
	maxRounds  = 3
	firstPause = 0.5
)

// Repair says what to do after a manifest was refused for the round-th time (0
// is the first), given how each of its blobs got to the target. It returns
// false when nothing that was believed can be the reason: then the refusal is
// final.
//
// A registry may name the blobs that it misses, or not (zot: MANIFEST_INVALID;
// ECR: BLOB_UPLOAD_UNKNOWN; others 404 or 500).
func Repair(r Refusal, blobs []Blob, how []Disposition, p Policy, round int) (Remedy, bool) {
	named, unknown := r.blames(blobs)
	if !unknown || round >= maxRounds {
		return r.onceMore(p, round)
	}
	var trusted, sent []int // brought without and with bytes, as far as they are to blame
	for i, b := range blobs {
		if b.External || len(named) > 0 && !named[b.Digest] {
			continue
		}
		if how[i] == Uploaded {
			sent = append(sent, i)
		} else {
			trusted = append(trusted, i)
		}
	}
	p.Strict, p.NoMounts = true, true
	p.Force = len(named) > 0 || round > 0
	switch {
	case len(trusted) > 0:
		return Remedy{Blobs: trusted, Policy: p}, true
	case len(sent) > 0 && r.explicit():
		return Remedy{Policy: p, Pause: firstPause * float64(int(1)<<(2*round))}, true
	}
	return r.onceMore(p, round)
}

// RepairChildren returns the indexes of the children of an index that are worth
// putting again after the index was refused for the round-th time: those that the
// refusal names as missing, or, when it names nothing, at first all that were
// believed to stand and not put in this push. A registry may have collected them
// since.
func RepairChildren(r Refusal, children []digest.Digest, believed []bool, round int) []int {
	if round >= maxRounds {
		return nil
	}
	var named, trusted []int
	for i, d := range children {
		for _, m := range r.Missing {
			if m == d {
				named = append(named, i)
				break
			}
		}
		if believed[i] {
			trusted = append(trusted, i)
		}
	}
	if _, unknown := r.blames(nil); len(named) > 0 || len(r.Missing) > 0 || !unknown || round > 0 {
		return named
	}
	return trusted
}

// onceMore puts a manifest a second time when the refusal makes no sense for a
// manifest, since whatever stands between may have answered.
func (r Refusal) onceMore(p Policy, round int) (Remedy, bool) {
	passing := r.Status == 404 || r.Status == 408 || r.Status == 416 || r.Status >= 200 && r.Status < 300 || r.Status >= 500
	if round > 0 || !passing {
		return Remedy{}, false
	}
	return Remedy{Policy: p, Pause: firstPause}, true
}

// blames returns the blobs that the refusal names, and whether missing blobs
// may be the reason for it at all.
func (r Refusal) blames(blobs []Blob) (named map[digest.Digest]bool, unknown bool) {
	named = map[digest.Digest]bool{}
	for _, d := range r.Missing {
		for _, b := range blobs {
			if b.Digest == d {
				named[d] = true
			}
		}
	}
	if len(named) > 0 || r.explicit() || r.Status == 404 || r.Status >= 500 {
		return named, true
	}
	return named, r.has("MANIFEST_INVALID")
}

// explicit says whether the refusal speaks of missing blobs.
func (r Refusal) explicit() bool {
	return r.has("MANIFEST_BLOB_UNKNOWN") || r.has("BLOB_UNKNOWN") || r.has("BLOB_UPLOAD_UNKNOWN")
}

func (r Refusal) has(code string) bool {
	for _, c := range r.Codes {
		if c == code {
			return true
		}
	}
	return false
}
