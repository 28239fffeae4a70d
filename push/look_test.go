package push_test

import (
	"strings"
	"testing"

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
