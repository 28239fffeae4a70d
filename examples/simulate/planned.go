package main

import (
	"net/http"
	"sort"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

const (
	maxQuestions = 4 // that are asked before the blobs set out
	worthReading = 3 // unproven blobs that make a remembered manifest worth a request
)

// planned pushes as the package push does, with plans of the package mount: it
// knows what it remembers, what the build says, and what the registry answers.
type planned struct{ memory *memory }

// run is one push.
type run struct {
	*registry
	*memory
	build
	evidence mount.Evidence
	policy   mount.Policy
	work     []work
}

// work is what was done for one blob.
type work struct {
	outcomes []mount.Outcome
	session  bool // open
}

func (p planned) push(r *registry, b build) {
	n := &run{registry: r, memory: p.memory, build: b, evidence: p.memory.evidence(b.repository, b.image)}
	n.work = make([]work, len(b.image.blobs))
	for _, l := range b.image.blobs[:b.bottom] {
		n.evidence = n.evidence.With(mount.At(l.Digest, b.base, mount.Claimed))
	}
	if !n.look() && !n.ask() {
		n.settleAll()
	}
	for i := range n.work {
		n.cancel(i)
	}
	r.put(b.repository, b.tag, b.image)
	n.learn(mount.InTarget(b.image.digest, mount.Placed))
	n.lesson()
	p.memory.last[b.repository] = last{b.image.digest, b.tag}
}

// lesson spends the last request of a push on a trait.
func (n *run) lesson() {
	if i, try, ok := n.plan().Lesson(); ok && !n.taught[try.Kind] {
		n.taught[try.Kind] = true
		n.try(i, try)
		n.cancel(i)
	}
}

// learn adds facts to what is known in this push and after it.
func (n *run) learn(facts ...mount.Fact) {
	n.record(n.repository, facts)
	n.evidence = n.evidence.With(facts...).WithTraits(n.traits)
}

// look asks for the manifest behind the tag, or for the one that the target is
// remembered to hold. It returns true when the image stands.
func (n *run) look() (done bool) {
	if n.evidence.FirstLook(n.tag) == mount.LookLast && n.lookBack() {
		return false
	}
	img, found, named := n.manifest(n.repository, n.tag)
	switch {
	case found:
		n.proves(img)
		return img.digest == n.image.digest
	case named:
		n.learn(mount.Looked(mount.RepoAbsent))
		delete(n.last, n.repository)
	default:
		n.learn(mount.Looked(mount.TagAbsent))
	}
	if _, ok := n.last[n.repository]; ok && n.unproven() >= worthReading {
		n.lookBack()
	}
	return false
}

// lookBack asks for the manifest that the target is remembered to hold.
func (n *run) lookBack() (found bool) {
	img, found, _ := n.manifest(n.repository, string(n.last[n.repository].digest))
	if !found {
		delete(n.last, n.repository)
		return false
	}
	n.proves(img)
	return true
}

// proves notes that the target holds the blobs of a manifest that stands there.
func (n *run) proves(img image) {
	facts := []mount.Fact{mount.Looked(mount.TagOther)}
	held := map[digest.Digest]bool{}
	for _, b := range img.blobs {
		held[b.Digest] = true
	}
	for _, b := range n.image.blobs {
		if held[b.Digest] {
			facts = append(facts, mount.InTarget(b.Digest, mount.Present))
		}
	}
	n.learn(facts...)
}

func (n *run) unproven() int {
	count := 0
	for _, b := range n.image.blobs {
		if !n.evidence.Stands(b.Digest) {
			count++
		}
	}
	return count
}

// ask asks what the plan finds worth asking. It returns true when the image
// stands.
func (n *run) ask() (done bool) {
	for range maxQuestions {
		q, ok := n.plan().Ask()
		if !ok {
			return false
		}
		switch q.Look {
		case mount.LookDigest:
			n.learn(mount.Fact{DigestAsked: true})
			if _, found, _ := n.manifest(n.repository, string(n.image.digest)); found {
				return true
			}
		case mount.LookTags:
			standing := mount.RepoAbsent
			if n.tags(n.repository) {
				standing = mount.RepoExists
			}
			n.learn(mount.Looked(standing))
		default:
			n.try(q.Step, q.Try)
		}
	}
	return false
}

func (n *run) plan() mount.Plan { return mount.NewPlan(n.image.blobs, n.evidence, n.policy) }

// settleAll brings the blobs to the target, largest first.
func (n *run) settleAll() {
	order := make([]int, len(n.image.blobs))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return n.image.blobs[order[a]].Size > n.image.blobs[order[b]].Size })
	for _, i := range order {
		for {
			try, ok := n.plan().Steps[i].Next(n.work[i].outcomes)
			if !ok {
				break
			}
			n.try(i, try)
		}
	}
}

// try makes one try for a blob and notes what it came back with.
func (n *run) try(i int, t mount.Try) {
	w, b := &n.work[i], n.image.blobs[i]
	o := mount.Outcome{Try: t}
	switch t.Kind {
	case mount.Check:
		o.Status = http.StatusNotFound
		if n.head(n.repository, b.Digest) {
			o.Status = http.StatusOK
		}
	case mount.Upload:
		n.send(w, b, t)
		o.Status, o.Sent, o.Whole = http.StatusCreated, b.Size, true
	default:
		from := t.From
		if t.Kind == mount.MountSelf {
			from = n.repository
		}
		o.Status = n.mount(n.repository, b.Digest, from)
		if o.Session = o.Status == http.StatusAccepted; o.Session {
			n.cancel(i)
			w.session = true
		}
	}
	w.outcomes = append(w.outcomes, o)
	n.learn(mount.Learn(b, n.evidence, w.outcomes)...)
}

// send uploads a blob in the session that is open for it, or in a new one, or
// in the request that would open one.
func (n *run) send(w *work, b blob, t mount.Try) {
	if !w.session && t.Form != mount.Single {
		n.request(1)
	}
	w.session = false
	if t.Form == mount.Stream {
		n.request(1)
	}
	n.upload(n.repository, b, 1)
}

// cancel gives up the session of a blob, if one is open.
func (n *run) cancel(i int) {
	if n.work[i].session {
		n.request(1)
	}
	n.work[i].session = false
}
