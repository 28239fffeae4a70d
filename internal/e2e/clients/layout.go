package clients

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/types/ref"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	orasremote "oras.land/oras-go/v2/registry/remote"
	orasauth "oras.land/oras-go/v2/registry/remote/auth"

	"github.com/crossmount/crossmount/internal/e2e/scenarios"
)

// tag is that of the image in a layout on disk.
const tag = "image"

// onDisk has the image of a job in a layout on disk, unless the image stands on
// the registry as a whole: then it is copied from there.
type onDisk struct {
	job scenarios.Job
	dir string
}

// Load writes the layout.
func (d *onDisk) Load(_ context.Context, job scenarios.Job) error {
	if err := d.Close(); err != nil {
		return err
	}
	d.job = job
	if job.Whole != nil {
		return nil
	}
	var err error
	if d.dir, err = os.MkdirTemp("", "e2e"); err != nil {
		return err
	}
	path, err := layout.Write(d.dir, empty.Index)
	if err != nil {
		return err
	}
	named := layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: tag})
	if index, ok := asIndex(job.Image); ok {
		return path.AppendIndex(index, named)
	}
	img, ok := job.Image.(v1.Image)
	if !ok {
		return errors.New("neither image nor index")
	}
	return path.AppendImage(img, named)
}

// Close removes the layout.
func (d *onDisk) Close() error {
	dir := d.dir
	d.dir = ""
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}

// orasClient is oras-go.
type orasClient struct {
	onDisk
	keychain authn.Keychain
	client   *orasauth.Client
}

func newORAS(_ string, keychain authn.Keychain) (Client, error) {
	return &orasClient{keychain: keychain}, nil
}

// ORASRepository returns a repository for oras.
func ORASRepository(ctx context.Context, r name.Repository, keychain authn.Keychain) (*orasremote.Repository, error) {
	repo, err := orasremote.NewRepository(r.Name())
	if err != nil {
		return nil, err
	}
	c, err := credentials(ctx, keychain, r)
	if err != nil {
		return nil, err
	}
	repo.PlainHTTP = true
	repo.Client = &orasauth.Client{
		Cache:      orasauth.NewCache(),
		Credential: orasauth.StaticCredential(r.RegistryStr(), orasauth.Credential{Username: c.Username, Password: c.Password}),
	}
	return repo, nil
}

// repository returns a repository with the client's one cache of tokens.
func (c *orasClient) repository(ctx context.Context, r name.Repository) (*orasremote.Repository, error) {
	repo, err := ORASRepository(ctx, r, c.keychain)
	if err != nil {
		return nil, err
	}
	if c.client == nil {
		c.client, _ = repo.Client.(*orasauth.Client)
	}
	repo.Client = c.client
	return repo, nil
}

// Push copies the image once to each repository, and tags it there.
func (c *orasClient) Push(ctx context.Context) error {
	from, at, err := c.from(ctx)
	if err != nil {
		return err
	}
	options := oras.DefaultCopyOptions
	if source := c.source(); source != "" {
		options.MountFrom = func(context.Context, ocispec.Descriptor) ([]string, error) { return []string{source}, nil }
	}
	var done []string
	for _, r := range c.job.Refs {
		repo, err := c.repository(ctx, r.Context())
		if err != nil {
			return err
		}
		if slices.Contains(done, r.Context().Name()) {
			_, err = oras.TagN(ctx, repo, c.first(r), []string{r.Identifier()}, oras.DefaultTagNOptions)
		} else {
			_, err = oras.Copy(ctx, from, at, repo, r.Identifier(), options)
		}
		if err != nil {
			return err
		}
		done = append(done, r.Context().Name())
	}
	return nil
}

// from returns where the image is, and its name there.
func (c *orasClient) from(ctx context.Context) (from oras.ReadOnlyTarget, at string, err error) {
	if c.job.Whole != nil {
		from, err = c.repository(ctx, c.job.Whole.Context())
		return from, c.job.Whole.Identifier(), err
	}
	from, err = oci.NewFromFS(ctx, os.DirFS(c.dir))
	return from, tag, err
}

// source returns the repository that blobs may be mounted from.
func (c *orasClient) source() string {
	if c.job.Whole != nil {
		return c.job.Whole.Context().RepositoryStr()
	}
	return c.job.Base
}

// first returns the first tag in the repository of r.
func (c *orasClient) first(r name.Reference) string {
	for _, other := range c.job.Refs {
		if other.Context() == r.Context() {
			return other.Identifier()
		}
	}
	return r.Identifier()
}

// regClient is regclient. It mounts only what it copies from the same registry.
type regClient struct {
	onDisk
	client *regclient.RegClient
}

func newRegclient(host string, keychain authn.Keychain) (Client, error) {
	client, err := Regclient(context.Background(), host, keychain) // the credentials are in memory
	if err != nil {
		return nil, err
	}
	return &regClient{client: client}, nil
}

// Regclient returns a regclient for a registry.
func Regclient(ctx context.Context, host string, keychain authn.Keychain) (*regclient.RegClient, error) {
	registry, err := name.NewRegistry(host)
	if err != nil {
		return nil, err
	}
	c, err := credentials(ctx, keychain, registry)
	if err != nil {
		return nil, err
	}
	h := config.HostNewName(host)
	h.TLS, h.User, h.Pass = config.TLSDisabled, c.Username, c.Password
	return regclient.New(regclient.WithConfigHost(*h)), nil
}

// Push copies the image to one reference after the other.
func (c *regClient) Push(ctx context.Context) error {
	text := "ocidir://" + c.dir + ":" + tag
	if c.job.Whole != nil {
		text = c.job.Whole.Name()
	}
	from, err := ref.New(text)
	if err != nil {
		return err
	}
	for _, r := range c.job.Refs {
		to, err := ref.New(r.Name())
		if err != nil {
			return err
		}
		if err := c.client.ImageCopy(ctx, from, to); err != nil {
			return err
		}
	}
	return nil
}
