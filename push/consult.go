package push

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// book is a manifest that may be read to learn what its repository holds.
type book struct {
	repository, reference string
}

// Observe reads the manifest behind ref, and those below it, and remembers which
// blobs the repository holds: later pushes to the same registry may mount them
// from there. No layer is read. It takes one request, and one more for each
// image of an index, of which 64 are read at most. What was read before an error
// is remembered all the same.
func (p *Pusher) Observe(ctx context.Context, ref name.Reference) error {
	if ref = plain(ref); ref == nil {
		return &Error{Op: "observe", Err: fmt.Errorf("%w: it is nil", ErrReference)}
	}
	repo := ref.Context()
	h := p.host(repo.Registry)
	defer p.leave(repo.Registry)
	at := []group{{registry: repo.Registry}}
	p.keeper.recall(ctx, at)
	reading := reading{repo: h.Repository(repo, auth.Scope{}), repository: repo.RepositoryStr(), left: maxObserved}
	err := reading.read(ctx, ref.Identifier())
	p.ledger.Record(h.Name(), repo.RepositoryStr(), reading.facts()...)
	p.keeper.keep(ctx, at)
	if err != nil {
		return &Error{Op: "observe", Ref: ref.Name(), Err: err}
	}
	return nil
}

// consult reads the manifests that may say where the blobs are: of the images
// that the image says it was built on, and of those that the caller named. Each
// is read once by a Pusher for the same platforms, and only where that is worth
// its request.
func (r *run) consult(ctx context.Context) error {
	if r.policy.NoMounts || r.policy.Force {
		return nil
	}
	for _, b := range r.books() {
		if !r.plan(r.policy).WorthReading(b.repository) {
			continue
		}
		platforms := r.platforms()
		key := fmt.Sprint(r.host.Name(), "/", b.repository, "@", b.reference, platforms)
		if r.pusher.wasRead(key) {
			continue
		}
		c, err := r.pusher.reads.Do(ctx, key, func(ctx context.Context) (consulted, error) {
			reading := reading{repo: r.repo, repository: b.repository, platforms: platforms, left: maxConsulted}
			err := reading.read(ctx, b.reference)
			if ctx.Err() == nil && !errors.Is(err, transport.ErrUnheard) {
				r.pusher.noteRead(key)
			}
			return consulted{r, reading.requests, reading.facts()}, err
		})
		if c.by == r {
			r.count(transport.Answer{Requests: c.requests})
		}
		r.learn(c.facts...)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.pusher.options.log.Debug("not read", "repository", b.repository, "reference", b.reference, "err", err)
		}
	}
	return nil
}

// consulted is what a manifest was read for, by one of the runs that want it.
type consulted struct {
	by       *run
	requests int
	facts    []mount.Fact
}

// books returns the manifests that may be worth reading, on the registry of the
// target, the target itself not among them.
func (r *run) books() []book {
	var out []book
	add := func(b book) {
		if b.repository != "" && b.repository != r.target.repository.RepositoryStr() && r.known().Allows(b.repository) {
			out = append(out, b)
		}
	}
	for _, m := range r.inv.Manifests {
		if m.Base == nil || m.Base.Registry != r.host.Name() {
			continue
		}
		reference := m.Base.Reference
		if m.Base.Digest != "" {
			reference = m.Base.Digest.String()
		}
		add(book{m.Base.Repository, reference})
	}
	for _, ref := range r.pusher.options.bases {
		if ref.Context().RegistryStr() == r.host.Name() {
			add(book{ref.Context().RepositoryStr(), ref.Identifier()})
		}
	}
	return out
}

// platforms returns the platforms of the images, as far as they say which they are
// for.
func (r *run) platforms() []*v1.Platform {
	var out []*v1.Platform
	for _, m := range r.inv.Manifests {
		if p := r.inv.PlatformOf(m); p != nil {
			out = append(out, p)
		}
	}
	return out
}

// wasRead says whether a manifest has been read by this Pusher.
func (p *Pusher) wasRead(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read[key]
}

// noteRead notes that a manifest has been read.
func (p *Pusher) noteRead(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.read) >= maxBooks {
		clear(p.read)
	}
	p.read[key] = true
}

// maxBooks bounds how many manifests a Pusher remembers to have read.
const maxBooks = 4096
