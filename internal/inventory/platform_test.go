package inventory

import (
	"bytes"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestPlatformOf(t *testing.T) {
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "arm64", Variant: "v8"})
	if err != nil {
		t.Fatal(err)
	}
	said := &v1.Platform{OS: "linux", Architecture: "riscv64"}
	for _, tt := range []struct {
		name  string
		image Image
		want  string // of the first manifest
	}{
		{"by the config", img, "linux/arm64/v8"},
		{"by the index", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: said}}), "linux/riscv64"},
		{"by the config of a child", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img}), "linux/arm64/v8"},
		{"not said", empty.Image, ""},
		{"of an index", empty.Index, ""},
	} {
		inv, err := Of(tt.image)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if p := inv.PlatformOf(inv.Manifests[0]); p != nil {
			got = p.String()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// counted is an image whose config is a layer that counts how often it is opened.
type counted struct {
	v1.Image
	opened *int
	broken bool
}

func (c counted) ConfigLayer() (v1.Layer, error) { return countedLayer{c}, nil }

type countedLayer struct{ image counted }

func (l countedLayer) Digest() (v1.Hash, error)             { return l.image.ConfigName() }
func (l countedLayer) DiffID() (v1.Hash, error)             { return l.image.ConfigName() }
func (l countedLayer) Size() (int64, error)                 { return partial.Size(l.image) }
func (l countedLayer) MediaType() (types.MediaType, error)  { return types.OCIConfigJSON, nil }
func (l countedLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }
func (l countedLayer) Compressed() (io.ReadCloser, error) {
	*l.image.opened++
	content, err := l.image.RawConfigFile()
	if l.image.broken {
		content = append(content, ' ')
	}
	return io.NopCloser(bytes.NewReader(content)), err
}

// TestConfigReadOnce: a config that was read for its platform is not read again,
// neither for that nor to be sent, unless it is not what it should be.
func TestConfigReadOnce(t *testing.T) {
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	for broken, want := range map[bool]int{false: 1, true: 3} {
		opened := 0
		inv, err := Of(counted{img, &opened, broken})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if p := inv.PlatformOf(inv.Root()); p == nil || p.Architecture != "arm64" {
				t.Errorf("platform %v", p)
			}
		}
		for range 2 {
			rc, err := inv.Blobs[0].Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(rc)
			if good := verify(content, inv.Blobs[0].Digest) == nil; err != nil || good == broken {
				t.Errorf("%d bytes, %v", len(content), err)
			}
		}
		if opened != want {
			t.Errorf("opened %d times, want %d", opened, want)
		}
	}
}

func TestSamePlatform(t *testing.T) {
	arm, v7, v8 := v1.Platform{OS: "linux", Architecture: "arm"}, v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, v1.Platform{OS: "linux", Architecture: "arm", Variant: "v8"}
	old, newer := v1.Platform{OS: "windows", Architecture: "amd64", OSVersion: "1"}, v1.Platform{OS: "windows", Architecture: "amd64", OSVersion: "2"}
	for _, tt := range []struct {
		a, b *v1.Platform
		want bool
	}{
		{&arm, &arm, true}, {&arm, &v7, true}, {&v8, &arm, true}, {&v7, &v8, false},
		{&old, &newer, false}, {&old, &arm, false}, {nil, &arm, false}, {&arm, nil, false}, {nil, nil, false},
	} {
		if got := SamePlatform(tt.a, tt.b); got != tt.want {
			t.Errorf("%v and %v: %t", tt.a, tt.b, got)
		}
	}
}
