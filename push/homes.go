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
		h.landings[i] = make(map[digest.Digest]*landing, len(blobs))
		for _, d := range blobs {
			h.landings[i][d] = &landing{done: make(chan struct{})}
		}
	}
	return h
}

// settle notes that the blob stands in target i, or that it will not.
func (h *homes) settle(i int, d digest.Digest, ok bool) {
	l := h.landings[i][d]
	l.once.Do(func() {
		l.ok = ok
		close(l.done)
	})
}

// settleRest notes of all blobs that are not settled in target i what became
// of them.
func (h *homes) settleRest(i int, ok bool) {
	for d := range h.landings[i] {
		h.settle(i, d, ok)
	}
}

// find waits until the blob stands in a target before i, and returns that
// target, or "" when target i must be its home.
func (h *homes) find(ctx context.Context, i int, d digest.Digest) (string, error) {
	for j := range i {
		l := h.landings[j][d]
		select {
		case <-l.done:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		if l.ok {
			return h.targets[j], nil
		}
	}
	return "", nil
}
