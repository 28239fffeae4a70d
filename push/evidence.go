package push

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/internal/ledger"
	"github.com/crossmount/crossmount/mount"
)

// Evidence is a source of facts. A Pusher has its own (what the image says of its
// origin, what the caller named, what is remembered), and a caller can add others:
// a build cache that knows where layers came from, a catalogue of base images. See
// [WithEvidence].
type Evidence interface {
	// Facts returns what is known or believed of blobs for a push to target, most
	// often made with mount.At: a blob is in a repository of the target's
	// registry. Facts only order the tries; one that is wrong costs a request, not
	// a push. Names of repositories on other registries must not be among them.
	//
	// It is called once for each repository of a push, by many goroutines at once,
	// and should be quick. An error is logged and otherwise as if there were no
	// facts.
	Facts(ctx context.Context, target name.Repository, blobs []digest.Digest) ([]mount.Fact, error)
}

// gather returns what is known of the target before the registry is asked. homes
// are the targets of the push on the same registry that come before it.
func (r *run) gather(ctx context.Context, homes []string) mount.Evidence {
	o := r.pusher.options
	sources := []Evidence{
		remembered{&r.pusher.ledger, r.inv.Root().Digest}, origins{r.inv}, listed{o.sources, r.inv}, siblings(homes),
	}
	for _, e := range o.evidence {
		sources = append(sources, added{e})
	}
	digests := make([]digest.Digest, len(r.blobs))
	for i, b := range r.blobs {
		digests[i] = b.Digest
	}
	e := mount.NewEvidence(r.target.repository.RepositoryStr(), r.pusher.ledger.Traits(r.host.Name()), allowed(o.allowed, homes)...)
	for _, s := range sources {
		facts, err := s.Facts(ctx, r.target.repository, digests)
		if err != nil {
			o.log.Debug("no evidence", "target", r.target.repository.Name(), "err", err)
			continue
		}
		e = e.With(facts...)
	}
	return e
}

// allowed returns the restriction of sources that the caller has set. Homes are
// sources all the same.
func allowed(names, homes []string) []mount.Fact {
	if len(names) == 0 {
		return nil
	}
	var facts []mount.Fact
	for _, list := range [][]string{names, homes} {
		for _, n := range list {
			facts = append(facts, mount.Fact{Allow: n})
		}
	}
	return facts
}

// remembered is what earlier pushes have shown: of the blobs, of the image with
// the digest root, and of the manifest that the target held last.
type remembered struct {
	ledger *ledger.Ledger
	root   digest.Digest
}

func (m remembered) Facts(_ context.Context, target name.Repository, blobs []digest.Digest) ([]mount.Fact, error) {
	host, repo := target.RegistryStr(), target.RepositoryStr()
	facts := m.ledger.Facts(host, repo, append(blobs[:len(blobs):len(blobs)], m.root))
	facts = append(facts, mount.Fact{DigestBelief: mount.NewEvidence(repo, mount.Traits{}, facts...).Belief(m.root, repo)})
	last, tags := m.ledger.Last(host, repo)
	if last == m.root {
		return facts, nil
	}
	facts = append(facts, mount.Fact{Last: last})
	for _, tag := range tags {
		facts = append(facts, mount.Fact{Last: last, Tag: tag})
	}
	return facts, nil
}

// origins is what the image says of where its blobs are from: that they were
// pulled from there, or annotations.
type origins struct{ inv *inventory.Inventory }

func (o origins) Facts(_ context.Context, target name.Repository, _ []digest.Digest) ([]mount.Fact, error) {
	var facts []mount.Fact
	for _, b := range o.inv.Blobs {
		for _, from := range b.From {
			if from.Registry == target.RegistryStr() {
				facts = append(facts, mount.At(b.Digest, from.Repository, from.Belief))
			}
		}
	}
	return facts, nil
}

// listed is the repositories that the caller finds worth trying, for layers.
type listed struct {
	sources []name.Repository
	inv     *inventory.Inventory
}

func (l listed) Facts(_ context.Context, target name.Repository, _ []digest.Digest) ([]mount.Fact, error) {
	var facts []mount.Fact
	for _, s := range l.sources {
		for _, b := range l.inv.Blobs {
			if s.RegistryStr() == target.RegistryStr() && b.Role == mount.Layer {
				facts = append(facts, mount.At(b.Digest, s.RepositoryStr(), mount.Listed))
			}
		}
	}
	return facts, nil
}

// siblings is the targets of the same push that come before this one: the first
// will hold every blob.
type siblings []string

func (s siblings) Facts(_ context.Context, _ name.Repository, blobs []digest.Digest) ([]mount.Fact, error) {
	if len(s) == 0 {
		return nil, nil
	}
	var facts []mount.Fact
	for _, d := range blobs {
		facts = append(facts, mount.At(d, s[0], mount.Confirmed))
	}
	return facts, nil
}

// added is a source that the caller added. What it says can only order the tries,
// whatever it claims.
type added struct{ Evidence }

func (a added) Facts(ctx context.Context, target name.Repository, blobs []digest.Digest) ([]mount.Fact, error) {
	given, err := a.Evidence.Facts(ctx, target, blobs)
	var facts []mount.Fact
	for _, f := range given {
		if f.Blob != "" && f.Source.Repository != "" {
			facts = append(facts, mount.At(f.Blob, f.Source.Repository, min(f.Source.Belief, mount.Remembered)))
		}
	}
	return facts, err
}
