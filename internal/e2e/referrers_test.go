package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	regref "github.com/regclient/regclient/types/ref"

	"github.com/crossmount/crossmount/internal/e2e/clients"
	"github.com/crossmount/crossmount/internal/e2e/images"
	"github.com/crossmount/crossmount/internal/e2e/registries"
	"github.com/crossmount/crossmount/push"
)

// The kinds of the artifacts.
const (
	bill      = "application/vnd.example.bill"
	signature = "application/vnd.example.signature"
)

// TestReferrers pushes an image and two artifacts that refer to it to every
// registry, and a third artifact by another Pusher. Other clients list all of
// them, whether the registry lists referrers by itself or not.
func TestReferrers(t *testing.T) {
	kinds, _ := registries.All()
	for _, k := range kinds {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			server := start(t, k)
			keychain := server.Keychain(registries.Admin)
			img, err := images.Image("subject", layersOf(t, "subject", 2)...)
			if err != nil {
				t.Fatal(err)
			}
			at := ref(t, server, "app:v1")
			p := pusher(t, keychain)
			want := map[string]string{} // kinds by digest
			mustPush(t, p, img, at)
			for _, a := range [][2]string{{bill, "a"}, {signature, "b"}} {
				attach(t, p, at, img, a[0], a[1], want)
			}
			listed(t, at, keychain, want)

			other := pusher(t, keychain)
			attach(t, other, at, img, signature, "c", want)
			attach(t, p, at, img, signature, "b", want) // again
			listed(t, at, keychain, want)
			if t.Failed() {
				t.Logf("\n%s", lines(server.Log))
			}
		})
	}
}

// mustPush pushes and shows what became of it if that fails.
func mustPush(t *testing.T, p *push.Pusher, image push.Image, to name.Reference) {
	t.Helper()
	if report, err := p.Push(t.Context(), image, to); err != nil {
		t.Fatalf("push: %v\n%s", err, report)
	}
}

// layersOf returns n layers.
func layersOf(t *testing.T, prefix string, n int) []v1.Layer {
	t.Helper()
	layers, err := images.Layers(prefix, n)
	if err != nil {
		t.Fatal(err)
	}
	return layers
}

// attach pushes an artifact that refers to an image to the same repository, and
// notes its digest and kind.
func attach(t *testing.T, p *push.Pusher, at name.Reference, img v1.Image, kind, content string, noted map[string]string) {
	t.Helper()
	subject, err := partial.Descriptor(img)
	if err != nil {
		t.Fatal(err)
	}
	a, err := images.Artifact(kind, content, *subject)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	mustPush(t, p, a, at.Context().Digest(digest.String()))
	noted[digest.String()] = kind
}

// listed checks that other clients list exactly the wanted referrers, all and
// those of a kind.
func listed(t *testing.T, at name.Reference, keychain authn.Keychain, want map[string]string) {
	t.Helper()
	if got := listWithORAS(t, at, keychain, ""); !maps.Equal(got, want) {
		t.Errorf("oras lists %v, want %v", got, want)
	}
	if got := listWithRegclient(t, at, keychain); !maps.Equal(got, want) {
		t.Errorf("regclient lists %v, want %v", got, want)
	}
	signatures := maps.Clone(want)
	maps.DeleteFunc(signatures, func(_, kind string) bool { return kind != signature })
	if got := listWithORAS(t, at, keychain, signature); !maps.Equal(got, signatures) {
		t.Errorf("oras lists signatures %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(signatures)))
	}
}

// listWithORAS returns the kinds of the referrers by their digests.
func listWithORAS(t *testing.T, at name.Reference, keychain authn.Keychain, kind string) map[string]string {
	t.Helper()
	repo, err := clients.ORASRepository(t.Context(), at.Context(), keychain)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := repo.Resolve(t.Context(), at.Identifier())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	if err := repo.Referrers(t.Context(), subject, kind, func(page []ocispec.Descriptor) error {
		for _, d := range page {
			found[d.Digest.String()] = d.ArtifactType
		}
		return nil
	}); err != nil {
		t.Fatalf("oras: %v", err)
	}
	return found
}

// listWithRegclient returns the same.
func listWithRegclient(t *testing.T, at name.Reference, keychain authn.Keychain) map[string]string {
	t.Helper()
	client, err := clients.Regclient(t.Context(), at.Context().RegistryStr(), keychain)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := regref.New(at.Name())
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.ReferrerList(t.Context(), subject)
	if err != nil {
		t.Fatalf("regclient: %v", err)
	}
	found := map[string]string{}
	for _, d := range list.Descriptors {
		found[d.Digest.String()] = d.ArtifactType
	}
	return found
}
