// Package scenarios says what is pushed in the tests against real registries,
// and in the comparison of clients: what stands in the registry before, and the
// image and references of the push that is counted.
package scenarios

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/crossmount/crossmount/internal/e2e/images"
	"github.com/crossmount/crossmount/push"
)

// Scenario is one push.
type Scenario struct {
	Name string
	// Options that the Pusher needs beside credentials and the like.
	Options []push.Option
	// NoArchive says that a layer is not a valid archive.
	NoArchive bool
	// Requests and Layers are what the push may take at most on distribution
	// with anonymous access: requests, and layers of images.LayerSize.
	Requests, Layers int

	prepare func(*Stage) (push.Image, []string, error)
}

// Job is what is to be pushed, and what a client may be told of it.
type Job struct {
	Image push.Image
	Refs  []name.Reference
	// Base is a repository of the registry that holds the layers of the base, or
	// "" for none that the client may know of.
	Base string
	// Whole is where the whole image stands on the registry, or nil.
	Whole name.Reference
}

// Stage is the registry that a scenario plays on. Its context is that of one
// scenario.
type Stage struct {
	// Host of the registry.
	Host string
	// Keychain of somebody who may do everything.
	Keychain authn.Keychain
	// Push pushes with the client, and the state of it, that the scenario is
	// about.
	Push func(image push.Image, refs ...name.Reference) error

	base, app []v1.Layer
	job       Job
	options   []remote.Option
}

// Prepare brings the registry to the state that the scenario begins with, and
// returns what is to be pushed.
func (s Scenario) Prepare(ctx context.Context, stage *Stage) (Job, error) {
	var err error
	if stage.base, err = images.Layers("base", 6); err != nil {
		return Job{}, err
	}
	if stage.app, err = images.Layers("app", 3); err != nil {
		return Job{}, err
	}
	stage.options = []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(stage.Keychain)}
	image, refs, err := s.prepare(stage)
	if err != nil {
		return Job{}, fmt.Errorf("prepare %s: %w", s.Name, err)
	}
	// What is computed of a pulled image is asked of the registry now, so that
	// it does not count as a part of the push.
	if _, err := image.Digest(); err != nil {
		return Job{}, err
	}
	stage.job.Image = image
	for _, r := range refs {
		ref, err := stage.ref(r)
		if err != nil {
			return Job{}, err
		}
		stage.job.Refs = append(stage.job.Refs, ref)
	}
	return stage.job, nil
}

// ref parses the name of a reference without its host.
func (s *Stage) ref(text string) (name.Reference, error) {
	return name.ParseReference(s.Host + "/" + text)
}

// first returns the image that most scenarios begin with: the base and the
// application.
func (s *Stage) first() (v1.Image, error) {
	return images.Image("first", append(append([]v1.Layer(nil), s.base...), s.app...)...)
}

// changed returns the image with one layer and the config changed.
func (s *Stage) changed() (v1.Image, error) {
	other, err := images.Layer("other")
	if err != nil {
		return nil, err
	}
	return images.Image("changed", append(append([]v1.Layer(nil), s.base...), s.app[0], s.app[1], other)...)
}

// platform returns the image for a platform: some layers of the base that all
// platforms share, and own layers.
func (s *Stage) platform(architecture string, shared, own int) (v1.Image, error) {
	layers, err := images.Layers(architecture, own)
	if err != nil {
		return nil, err
	}
	img, err := images.Image(architecture, append(append([]v1.Layer(nil), s.base[:shared]...), layers...)...)
	if err != nil {
		return nil, err
	}
	return images.For(architecture, img)
}

// platforms returns an index of an image for each architecture, of nine layers of
// which five are shared.
func (s *Stage) platforms(architectures ...string) (v1.ImageIndex, error) {
	return s.index(5, 4, architectures...)
}

// four returns an index of four platforms that share the whole base.
func (s *Stage) four() (v1.ImageIndex, error) {
	return s.index(6, 3, "amd64", "arm64", "riscv64", "s390x")
}

// index returns an index of images of shared layers and own ones.
func (s *Stage) index(shared, own int, architectures ...string) (v1.ImageIndex, error) {
	var children []mutate.Appendable
	for _, a := range architectures {
		img, err := s.platform(a, shared, own)
		if err != nil {
			return nil, err
		}
		children = append(children, img)
	}
	return images.Index(architectures, children...), nil
}

// seed puts an image or index where ref says, by another client.
func (s *Stage) seed(image push.Image, ref string) error {
	r, err := s.ref(ref)
	if err != nil {
		return err
	}
	switch image := image.(type) {
	case v1.Image:
		return remote.Write(r, image, s.options...)
	case v1.ImageIndex:
		return remote.WriteIndex(r, image, s.options...)
	}
	return errors.New("neither image nor index")
}

// pull returns the image at ref, as ggcr pulls it.
func (s *Stage) pull(ref string) (v1.Image, error) {
	r, err := s.ref(ref)
	if err != nil {
		return nil, err
	}
	return remote.Image(r, s.options...)
}

// pullIndex returns the index at ref, as ggcr pulls it.
func (s *Stage) pullIndex(ref string) (v1.ImageIndex, error) {
	r, err := s.ref(ref)
	if err != nil {
		return nil, err
	}
	return remote.Index(r, s.options...)
}

// putBase puts an image of the base's layers at base:v1.
func (s *Stage) putBase() error {
	img, err := images.Image("base", s.base...)
	if err != nil {
		return err
	}
	return s.seed(img, "base:v1")
}
