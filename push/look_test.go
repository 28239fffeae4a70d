package push_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// TestFirstLook: a push begins with the manifest that is likely to prove most, and
// asks for another only if that has proved nothing.
func TestFirstLook(t *testing.T) {
	for _, tt := range []struct {
		name  string
		build int    // that is pushed after the first, which was pushed as v1
		tag   string // that it is pushed to
		looks []string
	}{
		{"new tag", 2, "app:v2", []string{"GET app manifest LAST 200"}},
		{"the same tag", 2, "app:v1", []string{"GET app manifest v1 200"}},
		{"the same image", 1, "app:v2", []string{"GET app manifest v2 404"}},
		{"another repository", 2, "copy:v2", []string{"GET copy manifest v2 404"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, dir := registrytest.New(registrytest.Behaviour{}), t.TempDir()
			first := build(t, 1, 1<<10)
			process(t, r, first, "app:v1", diskMemory(t, dir))
			wantLooks(t, process(t, r, build(t, tt.build, 1<<10), tt.tag, diskMemory(t, dir)), first, tt.looks)
		})
	}
}

// TestFirstLookUnrelated: where the last manifest names nothing of the image, the
// tag is looked at, and the last manifest not again.
func TestFirstLookUnrelated(t *testing.T) {
	r, dir := registrytest.New(registrytest.Behaviour{}), t.TempDir()
	other := image(t, "other", layer("of another image", 1<<10))
	process(t, r, other, "app:v1", diskMemory(t, dir))
	lines := process(t, r, build(t, 1, 1<<10), "app:v2", diskMemory(t, dir))
	wantLooks(t, lines, other, []string{"GET app manifest LAST 200", "GET app manifest v2 404"})
}

// TestFirstLookMovingTags: of a repository with several tags that move, each is
// looked at when its image is built anew.
func TestFirstLookMovingTags(t *testing.T) {
	r, dir := registrytest.New(registrytest.Behaviour{}), t.TempDir()
	web, worker := image(t, "web", layers("web", 5, 1<<10)...), image(t, "worker", layers("worker", 5, 1<<10)...)
	process(t, r, web, "app:web", diskMemory(t, dir))
	process(t, r, worker, "app:worker", diskMemory(t, dir))
	again := image(t, "web again", append(layers("web", 4, 1<<10), layer("new", 1<<10))...)
	wantLooks(t, process(t, r, again, "app:web", diskMemory(t, dir)), worker, []string{"GET app manifest web 200"})
}

// wantLooks checks which manifests were asked for. LAST stands for the digest of
// last.
func wantLooks(t *testing.T, lines []string, last push.Image, want []string) {
	t.Helper()
	d, err := last.Digest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines {
		if strings.HasPrefix(l, "GET ") && strings.Contains(l, " manifest ") {
			got = append(got, strings.ReplaceAll(l, "sha256:"+d.Hex[:8], "LAST"))
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("looks %q, want %q\n%s", got, want, strings.Join(lines, "\n"))
	}
}

// onPlatform returns build n for a platform of linux.
func onPlatform(t *testing.T, n int, arch string) v1.Image {
	t.Helper()
	config := &v1.ConfigFile{OS: "linux", Architecture: arch, Author: fmt.Sprint("build", n)}
	img, err := mutate.ConfigFile(image(t, fmt.Sprint("build", n)), config)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.AppendLayers(img, append(layers(arch, 5, layerSize), layer(fmt.Sprint("top of ", arch, n), layerSize))...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// multi returns an index of build n, which names no platform where the images do.
func multi(t *testing.T, n int, named bool, arches ...string) v1.ImageIndex {
	var all []mutate.IndexAddendum
	for _, arch := range arches {
		add := mutate.IndexAddendum{Add: onPlatform(t, n, arch)}
		if named {
			add.Platform = &v1.Platform{OS: "linux", Architecture: arch}
		}
		all = append(all, add)
	}
	return mutate.AppendManifests(empty.Index, all...)
}

// TestLookAcrossKinds: what an image or an index behind the tag proves, for an
// image or an index that takes its place. Each image changes one layer and its
// config, and has five layers that stand.
func TestLookAcrossKinds(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after push.Image
		sent          int64 // layers
		reads         int   // manifests
		asked         int   // mounts and checks of layers that stand
	}{
		{"image, then index", onPlatform(t, 1, "arm64"), multi(t, 2, true, "arm64"), 1, 1, 0},
		{"index, then image", multi(t, 1, true, "amd64", "arm64"), onPlatform(t, 2, "arm64"), 1, 2, 0},
		{"index, then index", multi(t, 1, true, "amd64", "arm64"), multi(t, 2, true, "arm64", "amd64"), 2, 3, 0},
		{"index, then index that names no platforms", multi(t, 1, true, "amd64", "arm64"), multi(t, 2, false, "arm64", "amd64"), 2, 3, 0},
		{"index of other platforms, then image", multi(t, 1, true, "s390x", "riscv64"), onPlatform(t, 2, "arm64"), 6, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := registrytest.Start(t, registrytest.Behaviour{})
			for _, img := range []push.Image{tt.before, tt.after} {
				srv.Registry.ResetLog()
				if _, err := pusher(t, push.WithConcurrency(1)).Push(context.Background(), img, ref(t, srv.Host, "app:v1")); err != nil {
					t.Fatal(err)
				}
			}
			lines := strings.Join(srv.Registry.Lines(), "\n")
			if n := srv.Registry.Count().Bytes / layerSize; n != tt.sent {
				t.Errorf("%d layers sent, want %d\n%s", n, tt.sent, lines)
			}
			if n := strings.Count(lines, "GET app manifest"); n != tt.reads {
				t.Errorf("%d manifests read, want %d\n%s", n, tt.reads, lines)
			}
			if n := strings.Count(lines, " 201\n") - strings.Count(lines, "PUT "); n > tt.asked {
				t.Errorf("%d blobs asked for that stood\n%s", n, lines)
			}
			if err := srv.Registry.Complete("app", "v1"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNestedStands: an index that stands proves what is below the indexes in it.
func TestNestedStands(t *testing.T) {
	for range 4 {
		srv := registrytest.Start(t, registrytest.Behaviour{})
		inner := indexOf(image(t, "a", layers("a", 3, layerSize)...), image(t, "b", layers("b", 3, layerSize)...))
		if _, err := pusher(t).Push(context.Background(), indexOf(inner), ref(t, srv.Host, "app:v1")); err != nil {
			t.Fatal(err)
		}
		if _, err := pusher(t).Push(context.Background(), indexOf(inner, image(t, "c", layer("c", 100))), ref(t, srv.Host, "app:v1")); err != nil {
			t.Fatal(err)
		}
		if n := srv.Registry.Count().BytesTwice; n > 0 {
			t.Fatalf("%d bytes were sent again\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
		}
	}
}
