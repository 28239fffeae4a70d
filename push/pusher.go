package push

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/flight"
	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/internal/ledger"
	"github.com/crossmount/crossmount/internal/lru"
	"github.com/crossmount/crossmount/transport"
)

// Pusher pushes images and holds what pushes share: connections, tokens,
// limits, and what was learned of registries and of where blobs are. It may be
// used by many goroutines at once.
type Pusher struct {
	options options
	ledger  ledger.Ledger
	sending sending
	keeper  *keeper
	reads   flight.Group[string, consulted]
	turns   turns // of those that update one list of referrers

	// mu guards the fields below.
	mu    sync.Mutex
	hosts *lru.Map[hostKey, *used]
	read  map[string]bool // manifests that were read to learn what a repository holds
}

// New returns a Pusher. It sends nothing. The error says which option does not
// fit.
func New(opts ...Option) (*Pusher, error) {
	o, err := makeOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	p := &Pusher{options: o, hosts: newHosts(), read: map[string]bool{}}
	p.keeper = newKeeper(o.memory, &p.ledger, o.log)
	return p, nil
}

// Push brings image to every reference. It is the same as [Pusher.Push] of a
// Pusher without options.
func Push(ctx context.Context, image Image, refs ...name.Reference) (*Report, error) {
	p, err := New()
	if err != nil {
		return &Report{}, err
	}
	return p.Push(ctx, image, refs...)
}

// Push brings image to every reference, so that each resolves to it. References
// are tags or digests, of any number of repositories and registries; each
// succeeds or fails by itself, and what was pushed for others stays. Push returns
// when it has done with all of them; a registry that fails or hangs keeps it, not
// the references on others.
//
// The report is never nil. The error is nil when every reference stands;
// otherwise it joins an [*Error] for each that does not, in their order, and one
// for each list of referrers that is not up to date (see [ErrReferrers]). Bad
// input, such as a nil image or no references, is an error before anything is
// sent.
//
// Streaming layers, whose digests are not known before they have been read, are
// read into temporary files first, in the folder that os.TempDir names.
func (p *Pusher) Push(ctx context.Context, image Image, refs ...name.Reference) (*Report, error) {
	report := &Report{Refs: make([]RefReport, len(refs))}
	inv, groups, err := p.prepare(image, refs)
	if errors.Is(err, inventory.ErrStreaming) && len(refs) > 0 {
		var remove func()
		inv, remove, err = inventory.Spool(ctx, image)
		defer remove()
		if err != nil {
			return report, inventoryError(err)
		}
		groups, err = groupRefs(refs, inv.Root().Digest)
	}
	if err != nil {
		return report, err
	}
	report.Digest = inv.Root().Digest
	defer p.leaveAll(groups)
	p.keeper.recall(ctx, groups)
	var runs []*run
	for _, g := range groups {
		runs = append(runs, p.newRuns(ctx, g, inv, transport.NewWork(p.options.retry))...)
	}
	wait := share(runs)
	var wg sync.WaitGroup
	for _, r := range runs {
		wg.Go(func() { r.push(ctx) })
	}
	wg.Wait()
	wait()
	p.keeper.keep(ctx, groups)
	errs := make([]error, len(refs))
	for _, r := range runs {
		r.report(report, errs)
	}
	for i, ref := range refs {
		report.Refs[i].Ref = ref.Name()
	}
	for _, l := range report.Referrers {
		errs = append(errs, l.Err)
	}
	return report, errors.Join(errs...)
}

// prepare reads the image and sorts the references by registry.
func (p *Pusher) prepare(image Image, refs []name.Reference) (*inventory.Inventory, []group, error) {
	if image == nil {
		return nil, nil, &Error{Op: "read image", Err: ErrNoImage}
	}
	if len(refs) == 0 {
		return nil, nil, &Error{Op: "push", Err: ErrNoRefs}
	}
	inv, err := inventory.Of(image)
	if err != nil {
		return nil, nil, inventoryError(err)
	}
	groups, err := groupRefs(refs, inv.Root().Digest)
	if err != nil {
		return nil, nil, err
	}
	return inv, groups, nil
}

// group is the references on one registry.
type group struct {
	registry name.Registry
	targets  []target
}

// target is the references to one repository.
type target struct {
	repository name.Repository
	refs       []name.Reference
	index      []int // of refs, among all references of the push
}

// groupRefs sorts references by registry and repository, in their order.
func groupRefs(refs []name.Reference, root digest.Digest) ([]group, error) {
	var groups []group
	for i, ref := range refs {
		ref = plain(ref)
		if err := checkRef(ref, root); err != nil {
			return nil, err
		}
		repo := ref.Context()
		g := findGroup(&groups, repo.Registry)
		t := findTarget(&g.targets, repo)
		t.refs = append(t.refs, ref)
		t.index = append(t.index, i)
	}
	return groups, nil
}

// plain returns a tag or digest that is pointed to, which are references too.
func plain(ref name.Reference) name.Reference {
	switch r := ref.(type) {
	case *name.Tag:
		if r == nil {
			return nil
		}
		return *r
	case *name.Digest:
		if r == nil {
			return nil
		}
		return *r
	}
	return ref
}

func findGroup(groups *[]group, r name.Registry) *group {
	for i, g := range *groups {
		if g.registry.RegistryStr() == r.RegistryStr() && g.registry.Scheme() == r.Scheme() {
			return &(*groups)[i]
		}
	}
	*groups = append(*groups, group{registry: r})
	return &(*groups)[len(*groups)-1]
}

func findTarget(targets *[]target, repo name.Repository) *target {
	for i, t := range *targets {
		if t.repository.RepositoryStr() == repo.RepositoryStr() {
			return &(*targets)[i]
		}
	}
	*targets = append(*targets, target{repository: repo})
	return &(*targets)[len(*targets)-1]
}

// checkRef says whether an image with the given digest can be pushed to ref.
func checkRef(ref name.Reference, root digest.Digest) error {
	switch r := ref.(type) {
	case nil:
		return &Error{Op: "push", Err: fmt.Errorf("%w: it is nil", ErrReference)}
	case name.Digest:
		if r.DigestStr() != root.String() {
			return &Error{Op: "push", Ref: r.Name(), Digest: root, Err: fmt.Errorf("%w: the image has another digest", ErrReference)}
		}
	}
	if ref.Context().RepositoryStr() == "" || ref.Context().RegistryStr() == "" || ref.Identifier() == "" {
		return &Error{Op: "push", Ref: ref.Name(), Err: fmt.Errorf("%w: it names no repository or no tag", ErrReference)}
	}
	return nil
}
