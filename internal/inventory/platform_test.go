package inventory

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
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
