package push

import (
	"context"
	"sync"

	"github.com/opencontainers/go-digest"
)

// homes lets the targets of one registry take blobs from each other: a blob is
// uploaded to the first of them, its home, and the others mount it from there
// as soon as it stands. If it does not come to stand there, the next target
// takes its place.
type homes struct {
	targets  []string // repositories, in the order in which they are homes
	landings []map[digest.Digest]*landing
	images   []*landing // the whole image, its manifests included
}

// landing tells when a blob has been settled in one target, and how.
type landing struct {
	once sync.Once
	done chan struct{}
	ok   bool // set before done is closed
}

// newHomes returns the homes of blobs in targets.
func newHomes(targets []string, blobs []digest.Digest) *homes {
	h := &homes{targets: targets, landings: make([]map[digest.Digest]*landing, len(targets))}
	for i := range targets {
		h.images = append(h.images, &landing{done: make(chan struct{})})
		h.landings[i] = make(map[digest.Digest]*landing, len(blobs))
		for _, d := range blobs {
			h.landings[i][d] = &landing{done: make(chan struct{})}
		}
	}
	return h
}

// settle notes that the blob stands in target i, or that it will not. Blobs of
// manifests that only the registry holds have no home.
func (h *homes) settle(i int, d digest.Digest, ok bool) {
	if l := h.landings[i][d]; l != nil {
		l.settle(ok)
	}
}

// settle notes how it went, once.
func (l *landing) settle(ok bool) {
	l.once.Do(func() {
		l.ok = ok
		close(l.done)
	})
}

// wait waits until it is known how it went.
func (l *landing) wait(ctx context.Context) (ok bool, err error) {
	select {
	case <-l.done:
		return l.ok, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// settleRest notes of the image, and of all blobs that are not settled, what
// became of them in target i.
func (h *homes) settleRest(i int, blobs, image bool) {
	for d := range h.landings[i] {
		h.settle(i, d, blobs)
	}
	h.images[i].settle(image)
}

// find waits until the blob stands in a target before i, and returns that
// target, or "" when target i must be its home. With named set, it waits until a
// manifest there names the blob: some registries mount no others (ECR).
func (h *homes) find(ctx context.Context, i int, d digest.Digest, named bool) (string, error) {
	for j := range i {
		l := h.landings[j][d]
		if named || l == nil {
			l = h.images[j]
		}
		ok, err := l.wait(ctx)
		if err != nil {
			return "", err
		}
		if ok {
			return h.targets[j], nil
		}
	}
	return "", nil
}
