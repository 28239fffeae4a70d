package e2e

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/regclient/regclient"
	"github.com/regclient/regclient/types/manifest"
	regref "github.com/regclient/regclient/types/ref"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"

	"github.com/crossmount/crossmount/internal/e2e/clients"
)

// pullBack pulls ref with ggcr, with oras and with regclient, all content of it,
// and checks that it has the digest.
func pullBack(ctx context.Context, ref name.Reference, want v1.Hash, keychain authn.Keychain, archives bool) error {
	if err := pullWithGGCR(ctx, ref, want, keychain, archives); err != nil {
		return fmt.Errorf("ggcr pulls %s: %w", ref, err)
	}
	return pullWithOthers(ctx, ref, want, keychain)
}

// pullWithOthers pulls ref with oras and with regclient.
func pullWithOthers(ctx context.Context, ref name.Reference, want v1.Hash, keychain authn.Keychain) error {
	if err := pullWithORAS(ctx, ref, want, keychain); err != nil {
		return fmt.Errorf("oras pulls %s: %w", ref, err)
	}
	if err := pullWithRegclient(ctx, ref, want, keychain); err != nil {
		return fmt.Errorf("regclient pulls %s: %w", ref, err)
	}
	return nil
}

func pullWithGGCR(ctx context.Context, ref name.Reference, want v1.Hash, keychain authn.Keychain, archives bool) error {
	got, err := remote.Get(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(keychain))
	if err != nil {
		return err
	}
	if got.Digest != want {
		return fmt.Errorf("digest %s, want %s", got.Digest, want)
	}
	if got.MediaType.IsIndex() {
		index, err := got.ImageIndex()
		if err != nil {
			return err
		}
		return readIndex(index, archives)
	}
	img, err := got.Image()
	if err != nil {
		return err
	}
	return readImage(img, archives)
}

// readIndex reads all that an index names.
func readIndex(index v1.ImageIndex, archives bool) error {
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range m.Manifests {
		if d.MediaType.IsIndex() {
			child, err := index.ImageIndex(d.Digest)
			if err != nil {
				return err
			}
			if err := readIndex(child, archives); err != nil {
				return err
			}
			continue
		}
		child, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		if err := readImage(child, archives); err != nil {
			return err
		}
	}
	return nil
}

// readImage reads config and layers once, which checks their digests and sizes.
// Archives are unpacked, and have the digests that the config says.
func readImage(img v1.Image, archives bool) error {
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		return fmt.Errorf("%d layers, and %d in the config", len(layers), len(config.RootFS.DiffIDs))
	}
	for i, l := range layers {
		content, err := l.Compressed()
		if err != nil {
			return err
		}
		var unpacked v1.Hash
		if archives {
			unpacked, err = unpack(content)
		}
		_, rest := io.Copy(io.Discard, content)
		if err := errors.Join(err, rest, content.Close()); err != nil {
			return err
		}
		if want := config.RootFS.DiffIDs[i]; archives && unpacked != want {
			return fmt.Errorf("layer %d unpacks to %s, want %s", i, unpacked, want)
		}
	}
	return nil
}

// unpack returns the digest of what is compressed in content.
func unpack(content io.Reader) (v1.Hash, error) {
	z, err := gzip.NewReader(content)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, _, err := v1.SHA256(z)
	return digest, err
}

func pullWithORAS(ctx context.Context, ref name.Reference, want v1.Hash, keychain authn.Keychain) error {
	repo, err := clients.ORASRepository(ctx, ref.Context(), keychain)
	if err != nil {
		return err
	}
	got, err := oras.Copy(ctx, repo, ref.Identifier(), memory.New(), "copy", oras.DefaultCopyOptions)
	if err != nil {
		return err
	}
	if got.Digest.String() != want.String() {
		return fmt.Errorf("digest %s, want %s", got.Digest, want)
	}
	return nil
}

func pullWithRegclient(ctx context.Context, ref name.Reference, want v1.Hash, keychain authn.Keychain) error {
	client, err := clients.Regclient(ctx, ref.Context().RegistryStr(), keychain)
	if err != nil {
		return err
	}
	at, err := regref.New(ref.Name())
	if err != nil {
		return err
	}
	m, err := client.ManifestGet(ctx, at)
	if err != nil {
		return err
	}
	if got := m.GetDescriptor().Digest.String(); got != want.String() {
		return fmt.Errorf("digest %s, want %s", got, want)
	}
	return readWithRegclient(ctx, client, at, m)
}

// readWithRegclient reads all that a manifest names, which checks the digests.
func readWithRegclient(ctx context.Context, client *regclient.RegClient, at regref.Ref, m manifest.Manifest) error {
	if index, ok := m.(manifest.Indexer); ok {
		children, err := index.GetManifestList()
		if err != nil {
			return err
		}
		for _, d := range children {
			child, err := client.ManifestGet(ctx, at, regclient.WithManifestDesc(d))
			if err != nil {
				return err
			}
			if err := readWithRegclient(ctx, client, at, child); err != nil {
				return err
			}
		}
		return nil
	}
	img, ok := m.(manifest.Imager)
	if !ok {
		return fmt.Errorf("a manifest of type %s is neither image nor index", manifest.GetMediaType(m))
	}
	c, err := img.GetConfig()
	if err != nil {
		return err
	}
	blobs, err := img.GetLayers()
	if err != nil {
		return err
	}
	for _, d := range append(blobs, c) {
		content, err := client.BlobGet(ctx, at, d)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, content)
		if err := errors.Join(err, content.Close()); err != nil {
			return fmt.Errorf("blob %s: %w", d.Digest, err)
		}
	}
	return nil
}
