package inventory

import (
	"context"
	"errors"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/opencontainers/go-digest"
)

// Spool is [Of] for an image with streaming layers, whose digests are not known
// before they have been read to the end, which can be done once. Each is read
// into a temporary file: then it can be looked for before it is sent, sent to
// more than one registry, and sent again after a fault. Remove takes the files
// away; it is never nil.
//
// An index whose images stream cannot be read by ggcr, and is [ErrStreaming].
func Spool(ctx context.Context, img Image) (inv *Inventory, remove func(), err error) {
	remove = func() {}
	image, ok := img.(v1.Image)
	if !ok {
		return nil, remove, &Error{What: "read index", Err: errors.Join(ErrStreaming, stream.ErrNotComputed)}
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, remove, &Error{What: "read layers", Err: err}
	}
	dir, err := os.MkdirTemp("", "crossmount-")
	if err != nil {
		return nil, remove, &Error{What: "spool layers", Err: err}
	}
	remove = func() { os.RemoveAll(dir) }
	files := map[digest.Digest]string{}
	for _, l := range layers {
		if _, err := l.Digest(); !errors.Is(err, stream.ErrNotComputed) {
			continue
		}
		d, file, err := spoolLayer(ctx, l, dir)
		if err != nil {
			return nil, remove, &Error{Digest: d, What: "spool layer", Err: err}
		}
		files[d] = file
	}
	inv, err = Of(img)
	if err != nil {
		return nil, remove, err
	}
	for i, b := range inv.Blobs {
		if file, ok := files[b.Digest]; ok {
			inv.Blobs[i].Sealed, inv.Blobs[i].sealed = false, nil
			inv.Blobs[i].open = []opener{func() (io.ReadCloser, error) { return os.Open(file) }}
		}
	}
	return inv, remove, nil
}

// spoolLayer reads a layer into a new file and returns its digest and the file.
func spoolLayer(ctx context.Context, l v1.Layer, dir string) (d digest.Digest, name string, err error) {
	rc, err := l.Compressed()
	if err != nil {
		return "", "", err
	}
	f, err := os.CreateTemp(dir, "layer-")
	if err != nil {
		return "", "", errors.Join(err, rc.Close())
	}
	_, err = io.Copy(f, reader{ctx, rc})
	if err = errors.Join(err, rc.Close(), f.Close()); err != nil {
		return "", "", err
	}
	h, err := l.Digest()
	return digest.Digest(h.String()), f.Name(), err
}

// reader reads until a context ends.
type reader struct {
	ended interface{ Err() error }
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ended.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
