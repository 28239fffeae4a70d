package registrytest

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crossmount/crossmount/internal/wire"
)

// getBlob answers GET and HEAD of a blob.
func (c *call) getBlob() {
	head := c.r.Method == http.MethodHead
	if head && c.b.HeadStatus != 0 {
		c.failStatus(c.b.HeadStatus, "no HEAD of blobs")
		return
	}
	b, ok := c.visible(head)
	if !ok || b.discarded && !head {
		c.failWith(http.StatusNotFound, wire.CodeBlobUnknown, "blob unknown to registry")
		return
	}
	if c.b.RedirectBlobs != "" {
		c.w.Header().Set("Location", strings.TrimSuffix(c.b.RedirectBlobs, "/")+"/signed/"+c.req.Digest.Encoded()+"?signature=x")
		c.reply(http.StatusTemporaryRedirect)
		return
	}
	c.w.Header().Set("Content-Type", octetStream)
	c.setDigest(c.req.Digest)
	if !head {
		c.common()
		http.ServeContent(c.w, c.r, "", time.Time{}, bytes.NewReader(b.data))
		return
	}
	size := b.size
	if c.b.HeadSize != 0 {
		size = c.b.HeadSize
		c.setDigest(otherDigest(c.req.Digest))
	}
	c.common()
	c.w.Header().Set("Accept-Ranges", "bytes")
	c.w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	c.w.WriteHeader(http.StatusOK)
}

// visible finds the blob as far as the registry lets this repository see.
func (c *call) visible(head bool) (*blob, bool) {
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	b, ok := c.reg.lookup(c.req.Repository).blobs[c.req.Digest]
	if ok || !c.b.HeadSeesAll && !c.b.GlobalBlobs {
		return b, ok
	}
	b, ok = c.reg.anywhere(c.req.Digest)
	if ok && head && c.b.HeadLinks {
		c.reg.repository(c.req.Repository).blobs[c.req.Digest] = b
	}
	return b, ok
}

// deleteBlob takes the blob out of the repository.
func (c *call) deleteBlob() {
	c.drain()
	c.reg.mu.Lock()
	repo := c.reg.lookup(c.req.Repository)
	_, ok := repo.blobs[c.req.Digest]
	delete(repo.blobs, c.req.Digest)
	c.reg.mu.Unlock()
	if !ok {
		c.failWith(http.StatusNotFound, wire.CodeBlobUnknown, "blob unknown to registry")
		return
	}
	c.reply(http.StatusAccepted)
}
