package inventory

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/opencontainers/go-digest"
)

func TestSpool(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	content := strings.Repeat("layer", 50_000)
	img, err := mutate.AppendLayers(empty.Image, stream.NewLayer(io.NopCloser(strings.NewReader(content))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Of(img); !errors.Is(err, ErrStreaming) {
		t.Fatalf("Of: %v, want ErrStreaming", err)
	}
	inv, remove, err := Spool(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	b := inv.Blobs[0]
	for range 2 { // it can be read as often as is needed
		rc, err := b.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		rc.Close()
		if err != nil || digest.FromBytes(got) != b.Digest || int64(len(got)) != b.Size || b.Sealed {
			t.Errorf("read %d bytes of %v (%v), sealed %v", len(got), b.Blob, err, b.Sealed)
		}
	}
	remove()
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSpoolFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	broken := errors.New("broken pipe")
	img, err := mutate.AppendLayers(empty.Image, stream.NewLayer(io.NopCloser(io.MultiReader(strings.NewReader("x"), errReader{broken}))))
	if err != nil {
		t.Fatal(err)
	}
	_, remove, err := Spool(context.Background(), img)
	remove()
	var e *Error
	if !errors.Is(err, broken) || !errors.As(err, &e) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	img, err = mutate.AppendLayers(empty.Image, stream.NewLayer(io.NopCloser(strings.NewReader("x"))))
	if err != nil {
		t.Fatal(err)
	}
	_, remove, err = Spool(ctx, img)
	remove()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
