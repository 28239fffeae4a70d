package inventory_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// thinned writes an index into a layout and takes the manifests of some of its
// images out.
func thinned(t *testing.T, idx v1.ImageIndex, without ...v1.Image) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	p := must(layout.Write(dir, idx))(t)
	for _, img := range without {
		if err := os.Remove(filepath.Join(dir, "blobs", "sha256", of1(img).Encoded())); err != nil {
			t.Fatal(err)
		}
	}
	return must(p.ImageIndex())(t)
}

// TestAbsent has an index without one of its images, in several forms.
func TestAbsent(t *testing.T) {
	l := layers(t, 2)
	one, two := image(t, empty.Image, l[0]), image(t, empty.Image, l[1])
	arm := &v1.Platform{OS: "linux", Architecture: "arm64"}
	claim := map[string]string{"containerd.io/distribution.source.registry.example": "team/app"}
	idx := mutate.AppendManifests(empty.Index, add(one, v1.Descriptor{}), add(two, v1.Descriptor{Platform: arm, Annotations: claim}))
	for name, tt := range map[string]struct {
		idx    v1.ImageIndex
		want   int // manifests that are there
		reason error
	}{
		"layout":    {thinned(t, idx, two), 2, fs.ErrNotExist},
		"all gone":  {hollowed(t, idx, errNothing), 1, errNothing},
		"nil image": {hollowed(t, idx, nil), 1, inventory.ErrNoImage},
	} {
		inv := of(t, tt.idx)
		there := 0
		for _, m := range inv.Manifests {
			if m.Absent == nil {
				there++
			}
		}
		m := inv.Manifests[1]
		if len(inv.Manifests) != 3 || there != tt.want || m.Digest != of1(two) {
			t.Errorf("%s: %d of %d manifests there, second %s", name, there, len(inv.Manifests), m.Digest)
			continue
		}
		if !errors.Is(m.Absent, inventory.ErrMissingChild) || !errors.Is(m.Absent, tt.reason) {
			t.Errorf("%s: absent because of %v", name, m.Absent)
		}
		want := []inventory.Origin{{Registry: "registry.example", Repository: "team/app", Belief: mount.Claimed}}
		if m.Body != nil || m.Blobs != nil || m.MediaType != string(types.DockerManifestSchema2) || !m.Platform.Equals(*arm) || !slices.Equal(m.From, want) {
			t.Errorf("%s: %+v", name, m)
		}
		if root := inv.Root(); !slices.Equal(root.Children, []int{0, 1}) {
			t.Errorf("%s: children %v", name, root.Children)
		}
	}
}

// TestWith finds an index that was absent, and then the image in it.
func TestWith(t *testing.T) {
	l := layers(t, 3)
	one, two := image(t, empty.Image, l[0], l[1]), image(t, empty.Image, l[1], l[2])
	inner := mutate.AppendManifests(empty.Index, add(two, v1.Descriptor{}))
	whole := mutate.AppendManifests(empty.Index, add(one, v1.Descriptor{}), add(inner, v1.Descriptor{}))
	source := inventory.Origin{Registry: "registry.example", Repository: "other", Belief: mount.Confirmed}
	found := func(img inventory.Image) inventory.Found {
		return inventory.Found{Digest: of1(img), MediaType: string(must(img.MediaType())(t)), Body: must(img.RawManifest())(t), Source: source}
	}
	inv := of(t, &withOne{whole, one, 0})
	absent := func() (all []digest.Digest) {
		for _, m := range inv.Manifests {
			if m.Absent != nil {
				all = append(all, m.Digest)
			}
		}
		return all
	}
	if got := absent(); !slices.Equal(got, []digest.Digest{of1(inner)}) {
		t.Fatalf("absent %v, want the inner index", got)
	}
	inv = must(inv.With(found(inner)))(t)
	if got := absent(); !slices.Equal(got, []digest.Digest{of1(two)}) {
		t.Fatalf("absent %v, want the image in it", got)
	}
	inv = must(inv.With(found(inner), found(two)))(t)
	if got := absent(); got != nil {
		t.Fatalf("absent %v", got)
	}
	want := of(t, whole)
	for i, m := range inv.Manifests {
		if w := want.Manifests[i]; m.Digest != w.Digest || !slices.Equal(m.Blobs, w.Blobs) || !slices.Equal(m.Children, w.Children) {
			t.Errorf("manifest %d is %+v, want %+v", i, m, w)
		}
	}
	for i, b := range inv.Blobs {
		w := want.Blobs[i]
		of := b.Digest == of1(l[2]) || w.Role == mount.Config && i > 2
		if b.Digest != w.Digest || b.Role != w.Role || b.Image != w.Image || b.Position != w.Position || b.Sealed != of {
			t.Errorf("blob %d is %+v, want %+v, sealed: %v", i, b.Blob, w.Blob, of)
		}
		if shared := b.Digest == of1(l[1]); (of || shared) != slices.Equal(b.From, []inventory.Origin{source}) {
			t.Errorf("blob %d is from %v", i, b.From)
		}
		if _, err := b.Open(); of != errors.Is(err, inventory.ErrSealed) {
			t.Errorf("blob %d: %v", i, err)
		}
	}
}

// index is what withOne wraps.
type index = v1.ImageIndex

// withOne is an index that holds one image of those it names, and gives it once.
type withOne struct {
	index
	one   v1.Image
	given int
}

func (w *withOne) Image(h v1.Hash) (v1.Image, error) {
	if digest.Digest(h.String()) != of1(w.one) || w.given > 0 {
		return nil, errNothing
	}
	w.given++
	return w.one, nil
}

func (w *withOne) ImageIndex(v1.Hash) (v1.ImageIndex, error) { return nil, errNothing }

// TestWithWrong finds what is not what the index names.
func TestWithWrong(t *testing.T) {
	one := image(t, empty.Image, layers(t, 1)...)
	idx := mutate.AppendManifests(empty.Index, add(one, v1.Descriptor{}))
	inv := of(t, hollowed(t, idx, errNothing))
	_, err := inv.With(inventory.Found{Digest: of1(one), MediaType: string(types.DockerManifestSchema2), Body: []byte(`{}`)})
	if !errors.Is(err, inventory.ErrDigest) {
		t.Errorf("error %v, want one that matches ErrDigest", err)
	}
}

// TestSubject reads what a manifest refers to.
func TestSubject(t *testing.T) {
	base := image(t, empty.Image, layers(t, 1)...)
	subject := v1.Descriptor{MediaType: types.DockerManifestSchema2, Digest: must(base.Digest())(t), Size: 7}
	oci := mutate.ConfigMediaType(mutate.MediaType(base, types.OCIManifestSchema1), "application/vnd.example.config")
	config := must(oci.Manifest())(t).Config
	typed := raw(t, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Subject: &subject,
		ArtifactType: "application/vnd.example", Annotations: map[string]string{"a": "b"}})
	for _, tt := range []struct {
		name    string
		img     inventory.Image
		subject digest.Digest
		kind    string
	}{
		{"none", oci, "", ""},
		{"docker", mutate.Subject(base, subject).(v1.Image), "", ""},
		{"kind of the config", mutate.Subject(oci, subject).(v1.Image), of1(base), "application/vnd.example.config"},
		{"kind of the artifact", typed, of1(base), "application/vnd.example"},
		{"index", mutate.Subject(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), subject).(v1.ImageIndex), of1(base), ""},
	} {
		m := of(t, tt.img).Root()
		if m.Subject != tt.subject || m.ArtifactType != tt.kind {
			t.Errorf("%s: subject %q of kind %q, want %q and %q", tt.name, m.Subject, m.ArtifactType, tt.subject, tt.kind)
		}
	}
	if m := of(t, typed).Root(); m.Annotations["a"] != "b" {
		t.Errorf("annotations %v", m.Annotations)
	}
}
