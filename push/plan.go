package push

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// Plan is what a push would do, as far as it can be told without writing
// anything.
type Plan struct {
	// Digest of the image.
	Digest digest.Digest
	// Targets in the order of their first reference.
	Targets []TargetPlan
}

// TargetPlan is what a push would do in one repository.
type TargetPlan struct {
	// Repository with its registry.
	Repository string
	// Refs that would be put.
	Refs []string
	// Stands says that the image stands there, so that at most references are
	// left to put.
	Stands bool
	// Blobs is the plan for the blobs.
	Blobs mount.Plan
}

// String prints the plan, a line for each blob: the order of its tries.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "image %s\n", p.Digest)
	for _, t := range p.Targets {
		if t.Stands {
			fmt.Fprintf(&b, "%s holds the image\n", t.Repository)
		} else {
			b.WriteString(t.Blobs.String())
		}
		for _, ref := range t.Refs {
			fmt.Fprintf(&b, "  put %s\n", ref)
		}
	}
	return b.String()
}

// Plan returns the plan that [Pusher.Push] would set out with. It reads from
// the registries what Push would read first, and writes nothing. What the tries
// come back with may change the plan on the way.
//
// The error joins an [*Error] for each repository that could not be looked at;
// the plan holds the others. It is never nil.
func (p *Pusher) Plan(ctx context.Context, image Image, refs ...name.Reference) (*Plan, error) {
	inv, groups, err := p.prepare(image, refs)
	if err != nil {
		return &Plan{}, err
	}
	defer p.leaveAll(groups)
	p.keeper.recall(ctx, groups)
	plan := &Plan{Digest: inv.Root().Digest}
	var errs []error
	w := transport.NewWork(p.options.retry)
	for _, g := range groups {
		for _, r := range p.newRuns(ctx, g, inv, w) {
			t, err := r.planOnly(ctx)
			if err != nil {
				errs = append(errs, &Error{Op: "plan", Ref: r.target.repository.Name(), Err: err})
				continue
			}
			plan.Targets = append(plan.Targets, t)
		}
	}
	return plan, errors.Join(errs...)
}

// planOnly asks what may be asked without writing and returns the plan.
func (r *run) planOnly(ctx context.Context) (TargetPlan, error) {
	t := TargetPlan{Repository: r.target.repository.Name()}
	done, err := r.look(ctx)
	if err == nil && !done {
		err = r.fill(ctx)
	}
	for i := 0; err == nil && !done && i < maxQuestions; i++ {
		q, ok := r.plan(r.policy).Ask()
		if !ok || q.Look == mount.NoLook && q.Try.Kind != mount.Check {
			break
		}
		done, err = r.question(ctx, q)
	}
	if err != nil {
		return t, err
	}
	t.Stands, t.Blobs = done, r.plan(r.policy)
	for i, ref := range r.refs {
		if !ref.Stands {
			t.Refs = append(t.Refs, r.target.refs[i].Name())
		}
	}
	return t, nil
}
