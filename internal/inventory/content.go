package inventory

import (
	"bytes"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/opencontainers/go-digest"
)

// opener opens content anew at each call.
type opener func() (io.ReadCloser, error)

// content is how the bytes of a blob can be had, and what the layer says of
// where it came from.
type content struct {
	open   []opener
	from   []Origin
	sealed error // why open is empty
}

// ofLayer returns the content of a layer, which is nil if err says why there is
// none.
func ofLayer(l v1.Layer, err error, d v1.Descriptor) content {
	var c content
	switch {
	case err != nil:
		c.sealed = err
	case l == nil:
		c.sealed = fmt.Errorf("no layer with this digest")
	default:
		c.from = pulled(l)
		if c.sealed = spent(l); c.sealed == nil {
			c.open = append(c.open, l.Compressed)
		}
	}
	return c.orInline(d)
}

// spent returns an error if l is a stream. A stream that knows its digest has
// been read to its end, and cannot be read again.
func spent(l v1.Layer) error {
	for _, l := range unwrap(l) {
		if _, ok := l.(*stream.Layer); ok {
			return stream.ErrConsumed
		}
	}
	return nil
}

// orInline adds the copy of the content that a descriptor may carry.
func (c content) orInline(d v1.Descriptor) content {
	if int64(len(d.Data)) == d.Size && verify(d.Data, digest.Digest(d.Digest.String())) == nil {
		c.open = append(c.open, func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(d.Data)), nil
		})
	}
	return c
}

// layers returns the content of the layers of img, in the order of its
// manifest. Layers and the manifest have the same order; LayerByDigest is asked
// only where Layers gives no answer, since some images (pkg/v1/cache) read
// content then.
func layers(img v1.Image, named []v1.Descriptor) []content {
	all := make([]content, len(named))
	got, err := img.Layers()
	for i, d := range named {
		if err == nil && len(got) == len(named) {
			all[i] = ofLayer(got[i], nil, d)
			continue
		}
		l, err := img.LayerByDigest(d.Digest)
		all[i] = ofLayer(l, err, d)
	}
	return all
}

// withConfigLayer is an image that has its config as a layer: those of package
// remote, whose config is a remote.MountableLayer.
type withConfigLayer interface{ ConfigLayer() (v1.Layer, error) }

// config returns the content of the config of img. It is read no sooner than it
// is opened.
func config(img v1.Image, d v1.Descriptor) content {
	if _, ok := img.(bareImage); ok {
		return content{sealed: errOnlyManifest}.orInline(d)
	}
	if with, ok := img.(withConfigLayer); ok {
		if l, err := with.ConfigLayer(); err == nil {
			return ofLayer(l, nil, d)
		}
	}
	open := func() (io.ReadCloser, error) {
		raw, err := img.RawConfigFile()
		if err != nil {
			return nil, err
		}
		if verify(raw, digest.Digest(d.Digest.String())) == nil {
			return io.NopCloser(bytes.NewReader(raw)), nil
		}
		// An artifact: its config is not the JSON that the image makes of it.
		l, err := img.LayerByDigest(d.Digest)
		if err != nil {
			return nil, err
		}
		return l.Compressed()
	}
	return content{open: []opener{open}}.orInline(d)
}
