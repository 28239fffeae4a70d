package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
)

// image returns a random image of three layers of size bytes.
func image(t *testing.T, size int64) v1.Image {
	t.Helper()
	img, err := random.Image(size, 3)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// written writes the images as an OCI layout and returns its directory.
func written(t *testing.T, images ...mutate.Appendable) string {
	t.Helper()
	var idx v1.ImageIndex = empty.Index
	for _, img := range images {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img})
	}
	dir := t.TempDir()
	if _, err := layout.Write(dir, idx); err != nil {
		t.Fatal(err)
	}
	return dir
}

// saved writes the image as docker save does and returns the file.
func saved(t *testing.T, img v1.Image) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(file, nil, img); err != nil {
		t.Fatal(err)
	}
	return file
}

func digestOf(t *testing.T, img interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// TestRun pushes what is on disk, twice over: to two references, by text and by
// JSON.
func TestRun(t *testing.T) {
	one, two := image(t, 4<<10), image(t, 4<<10)
	nested := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: one}, mutate.IndexAddendum{Add: two})
	both := written(t, one, two)
	idx, err := layout.ImageIndexFromPath(both)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		args   []string
		digest string // "" is not known beforehand
	}{
		{"layout of an image", []string{"-layout", written(t, one)}, digestOf(t, one)},
		{"layout of an index", []string{"-layout", written(t, nested)}, digestOf(t, nested)},
		{"layout of two images", []string{"-layout", both}, digestOf(t, idx)},
		{"tarball", []string{"-tarball", saved(t, one)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := registrytest.Start(t, registrytest.Behaviour{})
			refs := []string{s.Host + "/team/app:1", s.Host + "/team/other:1"}
			var text, report, log strings.Builder
			if err := run(t.Context(), append(append(tt.args, "-v"), refs...), &text, &log); err != nil {
				t.Fatal(err)
			}
			if err := run(t.Context(), append(append(tt.args, "-json"), refs...), &report, &log); err != nil {
				t.Fatal(err)
			}
			var r struct{ Digest string }
			if err := json.Unmarshal([]byte(report.String()), &r); err != nil {
				t.Fatalf("%v in %s", err, report.String())
			}
			if tt.digest != "" && r.Digest != tt.digest {
				t.Errorf("pushed %s, want %s", r.Digest, tt.digest)
			}
			for i, repo := range []string{"team/app", "team/other"} {
				if err := s.Registry.Complete(repo, "1"); err != nil {
					t.Error(err)
				}
				if !strings.Contains(text.String(), refs[i]) || !strings.Contains(report.String(), refs[i]) {
					t.Errorf("%s is not in the reports", refs[i])
				}
			}
			if !strings.Contains(log.String(), "level=DEBUG") {
				t.Errorf("no log: %q", log.String())
			}
		})
	}
}

// TestFrom names a repository that holds all of the layers, which are large
// enough for a mount to be worth a request.
func TestFrom(t *testing.T) {
	s := registrytest.Start(t, registrytest.Behaviour{})
	dir := written(t, image(t, 512<<10))
	var out strings.Builder
	if err := run(t.Context(), []string{"-layout", dir, s.Host + "/library/base"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	s.Registry.ResetLog()
	args := []string{"-layout", dir, "-from", s.Host + "/library/none", "-from", s.Host + "/library/base", s.Host + "/team/app"}
	if err := run(t.Context(), args, &out, &out); err != nil {
		t.Fatal(err)
	}
	mounts := 0
	for _, e := range s.Registry.Log() {
		if e.From == "library/base" {
			mounts++
		}
	}
	if mounts == 0 {
		t.Errorf("no mount from library/base:\n%s", strings.Join(s.Registry.Lines(), "\n"))
	}
	if err := s.Registry.Complete("team/app", "latest"); err != nil {
		t.Error(err)
	}
}

func TestFailures(t *testing.T) {
	s := registrytest.Start(t, registrytest.Behaviour{})
	dir := written(t, image(t, 4<<10))
	ref := s.Host + "/team/app"
	for _, args := range [][]string{
		{"-unknown", ref},
		{ref},
		{"-layout", dir},
		{"-layout", dir, "-tarball", dir, ref},
		{"-layout", t.TempDir(), ref},
		{"-layout", written(t), ref},
		{"-tarball", filepath.Join(dir, "none"), ref},
		{"-layout", dir, "not a reference"},
		{"-layout", dir, "-from", "not a repository", ref},
	} {
		var out strings.Builder
		if err := run(t.Context(), args, &out, &out); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	if n := s.Registry.Count().Requests; n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestRefused has a registry that takes no manifest: the report says so, and the
// program fails.
func TestRefused(t *testing.T) {
	s := registrytest.Start(t, registrytest.Behaviour{})
	s.Registry.Inject(registrytest.Fault{
		Match: func(e registrytest.Entry) bool { return e.Kind == wire.ManifestPut },
		Do:    registrytest.Status(http.StatusForbidden),
	})
	var out, diag strings.Builder
	ref := s.Host + "/team/app:1"
	err := run(t.Context(), []string{"-layout", written(t, image(t, 4<<10)), ref}, &out, &diag)
	var failed *push.Error
	if !errors.As(err, &failed) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), ref+" failed") {
		t.Errorf("report:\n%s", &out)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"-h"}} {
		var out, diag strings.Builder
		if err := run(context.Background(), args, &out, &diag); err != nil || !strings.HasPrefix(diag.String(), "usage: ") {
			t.Errorf("%q: %v, %q", args, err, &diag)
		}
	}
}

func TestInsecure(t *testing.T) {
	for insecure, want := range map[bool]string{true: "http", false: "https"} {
		c := config{insecure: insecure, refs: []string{"registry.example/app:1"}}
		refs, err := c.references()
		if err != nil {
			t.Fatal(err)
		}
		if got := refs[0].Context().Scheme(); got != want {
			t.Errorf("insecure %v: %s, want %s", insecure, got, want)
		}
	}
}
