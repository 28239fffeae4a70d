package mount

// Lesson returns the try that is worth a request at the end of a push, when all
// blobs stand and what is learned outlives it, since its answer settles a trait
// of the host for good. It asks for the smallest blob that the push has brought:
// with a self-mount first, since where those are honoured a blob that may be in
// the target costs no question of its own any more; in a later push without a
// source, since a host that does not find there what it holds finds nothing. It
// returns false when there is nothing of that kind to learn, and for a push that
// has brought nothing.
func (p Plan) Lesson() (step int, t Try, ok bool) {
	step = -1
	for i, s := range p.Steps {
		if p.evidence.blob(s.Blob.Digest).placed && (step < 0 || s.Blob.Size < p.Steps[step].Blob.Size) {
			step = i
		}
	}
	if step < 0 {
		return 0, Try{}, false
	}
	known := func(t Trait) bool { _, known := p.evidence.traits.Known(t); return known }
	may := p.Steps[step].allowed()
	switch {
	case may[MountSelf] && !known(SelfMounts):
		return step, Try{Kind: MountSelf}, true
	case may[MountAny] && !known(Discovers) && !known(SeesTarget):
		return step, Try{Kind: MountAny}, true
	}
	return 0, Try{}, false
}
