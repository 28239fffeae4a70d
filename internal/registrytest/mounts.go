package registrytest

import (
	"net/http"
	"strings"

	"github.com/crossmount/crossmount/internal/wire"
)

// mount answers POST uploads/?mount=[&from=].
func (c *call) mount() {
	c.drain()
	if status := c.mountRefused(); status != 0 {
		if status == http.StatusUnauthorized {
			c.challenge("insufficient_scope")
		}
		code := codeFor(status)
		if status == http.StatusNotFound && c.exists(c.source()) {
			code = wire.CodeBlobUnknown
		}
		c.failWith(status, code, "cannot mount from the repository")
		return
	}
	found, phantom := c.link()
	switch {
	case !found && c.b.AcceptedWithoutLocation:
		c.reply(http.StatusAccepted)
	case !found:
		c.accepted(c.open(c.req.Digest, c.req.From))
	case c.b.MountErrorsThoughMounted && c.req.From != "" && !phantom:
		c.failWith(http.StatusInternalServerError, wire.CodeUnknown, "unknown error")
	default:
		c.mounted()
	}
}

// mounted says that the blob was mounted.
func (c *call) mounted() {
	if !c.b.CreatedWithoutLocation {
		c.w.Header().Set("Location", "/v2/"+c.req.Repository+"/blobs/"+c.req.Digest.String())
	}
	switch c.b.MountDigest {
	case DigestRight:
		c.setDigest(c.req.Digest)
	case DigestOther:
		c.setDigest(otherDigest(c.req.Digest))
	}
	c.reply(http.StatusCreated)
}

// source is the source that the registry looks at, "" for any.
func (c *call) source() string {
	if c.b.FromIgnored {
		return ""
	}
	return c.req.From
}

// mountRefused is the status of a mount that is neither 201 nor 202, or 0.
func (c *call) mountRefused() int {
	from := c.req.From
	if status := c.b.MountFromStatus[from]; status != 0 && from != "" {
		return status
	}
	applies := false
	switch c.b.MountScope {
	case AnyMount:
		applies = true
	case MountsWithFrom:
		applies = from != ""
	case MountsWithoutFrom:
		applies = from == ""
	case MountsFromTopLevel:
		applies = from != "" && !strings.Contains(from, "/")
	}
	if applies && c.b.MountStatus != 0 {
		return c.b.MountStatus
	}
	source := c.source()
	switch {
	case source == "":
		return 0
	case !c.exists(source):
		return c.b.MountFromMissing
	case !c.holds(source):
		return c.b.MountBlobMissing
	}
	return 0
}

func (c *call) exists(name string) bool {
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	_, ok := c.reg.repos[name]
	return ok
}

func (c *call) holds(name string) bool {
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	_, ok := c.reg.lookup(name).blobs[c.req.Digest]
	return ok
}

// link mounts the blob. found says that it answers 201, phantom that it does so without having mounted.
func (c *call) link() (found, phantom bool) {
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	b, ok := c.mountable()
	if !ok {
		return false, false
	}
	if c.b.PhantomMount < 0 || c.reg.phantoms < c.b.PhantomMount {
		c.reg.phantoms++
		return true, true
	}
	c.reg.repository(c.req.Repository).blobs[c.req.Digest] = b
	return true, false
}

// mountable finds the blob where the registry would mount it from. The caller holds Registry.mu.
func (c *call) mountable() (*blob, bool) {
	d, target, from := c.req.Digest, c.req.Repository, c.source()
	if c.b.MountAlways202 || c.b.GlobalBlobs {
		return nil, false
	}
	own, held := c.reg.lookup(target).blobs[d]
	switch {
	case from == target:
		return own, held && !c.b.SelfMountOff
	case from != "":
		return c.offered(c.reg.lookup(from))
	case c.b.Discovery == DiscoveryOff:
		return nil, false
	case c.b.Discovery == DiscoveryTargetOnly || held:
		return own, held
	}
	for _, repo := range c.reg.repos {
		if b, ok := c.offered(repo); ok {
			return b, true
		}
	}
	return nil, false
}

// offered finds the blob in a source, if that may give it away.
func (c *call) offered(source *repository) (*blob, bool) {
	b, ok := source.blobs[c.req.Digest]
	if ok && c.b.ReferencedOnly && !source.references(c.req.Digest) {
		return nil, false
	}
	return b, ok
}
