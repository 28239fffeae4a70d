// Package clients pushes the same images with different libraries, each as its
// documentation says it is done.
package clients

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/crossmount/crossmount/internal/e2e/scenarios"
	"github.com/crossmount/crossmount/push"
)

// Client pushes images and keeps what it learns from one push to the next.
type Client interface {
	// Load brings the image of a job into the form that the client pushes from.
	Load(ctx context.Context, job scenarios.Job) error
	// Push pushes the job that was loaded last.
	Push(ctx context.Context) error
	// Close gives back what the client holds.
	Close() error
}

// Kind is a library.
type Kind struct {
	// Name is unique among the kinds.
	Name string
	// New returns a client that has learned nothing.
	New func(host string, keychain authn.Keychain) (Client, error)
}

// All returns all kinds, crossmount first.
func All() []Kind {
	return []Kind{{"crossmount", newCrossmount}, {"ggcr", newGGCR}, {"oras", newORAS}, {"regclient", newRegclient}}
}

// crossmount is this library.
type crossmount struct {
	pusher *push.Pusher
	job    scenarios.Job
}

func newCrossmount(_ string, keychain authn.Keychain) (Client, error) {
	p, err := push.New(push.WithKeychain(keychain))
	return &crossmount{pusher: p}, err
}

// Load keeps the job.
func (c *crossmount) Load(_ context.Context, job scenarios.Job) error {
	c.job = job
	return nil
}

// Push pushes to all references in one call.
func (c *crossmount) Push(ctx context.Context) error {
	_, err := c.pusher.Push(ctx, c.job.Image, c.job.Refs...)
	return err
}

// Close does nothing.
func (c *crossmount) Close() error { return nil }

// ggcr is go-containerregistry. Layers that it has pulled know where they are
// from.
type ggcr struct {
	keychain authn.Keychain
	pusher   *remote.Pusher
	job      scenarios.Job
}

func newGGCR(_ string, keychain authn.Keychain) (Client, error) {
	p, err := remote.NewPusher(remote.WithAuthFromKeychain(keychain))
	return &ggcr{keychain: keychain, pusher: p}, err
}

// Load keeps the job.
func (c *ggcr) Load(_ context.Context, job scenarios.Job) error {
	c.job = job
	return nil
}

// Push pushes to all references, by one function if there are many.
func (c *ggcr) Push(ctx context.Context) error {
	image, ok := c.job.Image.(remote.Taggable)
	if !ok {
		return errors.New("ggcr cannot push that")
	}
	if len(c.job.Refs) == 1 {
		return c.pusher.Push(ctx, c.job.Refs[0], image)
	}
	all := map[name.Reference]remote.Taggable{}
	for _, r := range c.job.Refs {
		all[r] = image
	}
	return remote.MultiWrite(all, remote.WithContext(ctx), remote.WithAuthFromKeychain(c.keychain))
}

// Close does nothing.
func (c *ggcr) Close() error { return nil }

// credentials returns those for a registry, empty for none.
func credentials(ctx context.Context, keychain authn.Keychain, registry authn.Resource) (authn.AuthConfig, error) {
	a, err := authn.Resolve(ctx, keychain, registry)
	if err != nil {
		return authn.AuthConfig{}, err
	}
	c, err := authn.Authorization(ctx, a)
	if err != nil {
		return authn.AuthConfig{}, err
	}
	return *c, nil
}

// asIndex says whether an image is an index.
func asIndex(image push.Image) (v1.ImageIndex, bool) {
	index, ok := image.(v1.ImageIndex)
	return index, ok
}
