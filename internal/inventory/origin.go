package inventory

import (
	"slices"
	"strings"

	"github.com/crossmount/crossmount/mount"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
)

// The annotations that say where content may be.
const (
	sourcePrefix = "containerd.io/distribution.source."
	baseName     = "org.opencontainers.image.base.name"
	baseDigest   = "org.opencontainers.image.base.digest"
)

// maxUnwrap bounds how many wrappers of a layer are looked through.
const maxUnwrap = 8

// maxName is the longest repository name, in bytes, that registries take
// (distribution).
const maxName = 255

// wrapper is a layer that holds another.
type wrapper interface{ Unwrap() v1.Layer }

// unwrap returns l and the layers inside it, the outermost first.
func unwrap(l v1.Layer) []v1.Layer {
	var all []v1.Layer
	for l != nil && len(all) < maxUnwrap {
		all = append(all, l)
		switch w := l.(type) {
		case *remote.MountableLayer:
			if w == nil {
				return all
			}
			l = w.Layer
		case wrapper:
			l = w.Unwrap()
		default:
			return all
		}
	}
	return all
}

// pulled returns the repositories that a layer was pulled from.
func pulled(l v1.Layer) []Origin {
	var from []Origin
	for _, l := range unwrap(l) {
		if m, ok := l.(*remote.MountableLayer); ok && m != nil && m.Reference != nil {
			repo := m.Reference.Context()
			from = append(from, Origin{repo.RegistryStr(), repo.RepositoryStr(), mount.Remembered})
		}
	}
	return from
}

// claimed returns the repositories that annotations name, in order of the
// registries and then as they are listed. What cannot be a name is left out.
func claimed(annotations map[string]string) []Origin {
	var keys []string
	for k := range annotations {
		if strings.HasPrefix(k, sourcePrefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var from []Origin
	for _, k := range keys {
		// Without strictness an empty host is Docker Hub.
		registry, err := name.NewRegistry(strings.TrimPrefix(k, sourcePrefix), name.StrictValidation)
		if err != nil {
			continue
		}
		for repo := range strings.SplitSeq(annotations[k], ",") {
			if repo = strings.TrimSpace(repo); validRepository(repo) {
				from = append(from, Origin{registry.RegistryStr(), repo, mount.Claimed})
			}
		}
	}
	return from
}

// validRepository says whether a repository can have this name. The name goes
// into a URL, and an annotation may hold anything.
func validRepository(repo string) bool {
	if len(repo) > maxName {
		return false
	}
	for part := range strings.SplitSeq(repo, "/") {
		if strings.Trim(part, "._-") == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			return false
		}
	}
	return true
}

// merge returns both lists, each repository once with its highest belief, and
// best belief first. Neither list is changed.
func merge(a, b []Origin) []Origin {
	var all []Origin
	for _, o := range slices.Concat(a, b) {
		i := slices.IndexFunc(all, func(x Origin) bool {
			return x.Registry == o.Registry && x.Repository == o.Repository
		})
		switch {
		case i < 0:
			all = append(all, o)
		case all[i].Belief < o.Belief:
			all[i].Belief = o.Belief
		}
	}
	slices.SortStableFunc(all, func(x, y Origin) int { return int(y.Belief - x.Belief) })
	return all
}

// builtOn returns what annotations say of the base image, or nil if they say
// nothing that can be read.
func builtOn(annotations map[string]string) *Base {
	var b Base
	if ref, err := name.ParseReference(annotations[baseName]); err == nil {
		b.Registry, b.Repository = ref.Context().RegistryStr(), ref.Context().RepositoryStr()
		b.Reference = ref.Identifier()
	}
	if d, err := digest.Parse(annotations[baseDigest]); err == nil {
		b.Digest = d
	}
	if b == (Base{}) {
		return nil
	}
	return &b
}
