package mount

import "github.com/opencontainers/go-digest"

// Role says what a blob is in its image.
type Role int

// The roles of a blob.
const (
	Layer  Role = iota // a layer: bottom layers are shared between images and survive rebuilds
	Config             // a config: nearly every rebuild changes it
)

// Blob is what the planner needs to know of a layer or a config.
type Blob struct {
	Digest digest.Digest
	// Size in bytes.
	Size int64
	Role Role
	// Image numbers the manifest that names the blob first, and Position the
	// blob's place in it: 0 is the bottom layer. What is known of a layer says
	// something of its neighbours, since images change from the top.
	Image, Position int
	// External marks a non-distributable layer that stays where its URLs say.
	External bool
	// Sealed marks a blob whose content cannot be opened here: it can be
	// found in the registry, but never uploaded.
	Sealed bool
}

// Policy is what the caller is willing to spend. The zero value means
// [DefaultPolicy].
type Policy struct {
	// RoundTrip is what one request costs, in seconds. The default is 0.05.
	RoundTrip float64
	// Bandwidth is how fast bytes go out, in bytes a second. The default is 12.5e6.
	Bandwidth float64
	// BytesPerRequest is how many bytes are worth another request, beside the
	// time that they take, since somebody pays for the traffic on both sides.
	// The default is 16 KiB: then no blob over some 64 KiB is sent while one
	// chance in four is left that the target holds it.
	BytesPerRequest float64
	// Uploads is how often the bytes of one blob may be started anew after a
	// fault. The default is 4.
	Uploads int
	// Force trusts nothing and skips nothing: every blob is uploaded.
	Force bool
	// NoMounts never asks for a mount; blobs are checked and uploaded.
	NoMounts bool
	// NoDiscovery never asks for a mount without a source, so that a digest
	// never leaves before its bytes.
	NoDiscovery bool
	// Strict checks every blob before anything else is tried, and takes no
	// other proof that a blob stands in the target.
	Strict bool
}

// DefaultPolicy returns the policy that the zero Policy stands for.
func DefaultPolicy() Policy {
	return Policy{RoundTrip: 0.05, Bandwidth: 12.5e6, BytesPerRequest: 16 << 10, Uploads: 4}
}

// withDefaults fills in what the caller left at zero.
func (p Policy) withDefaults() Policy {
	d := DefaultPolicy()
	if p.RoundTrip <= 0 {
		p.RoundTrip = d.RoundTrip
	}
	if p.Bandwidth <= 0 {
		p.Bandwidth = d.Bandwidth
	}
	if p.BytesPerRequest <= 0 {
		p.BytesPerRequest = d.BytesPerRequest
	}
	if p.Uploads <= 0 {
		p.Uploads = d.Uploads
	}
	return p
}

// sending returns what it costs to send size bytes, in round trips, beside the
// requests themselves.
func (p Policy) sending(size int64) float64 {
	return float64(size) * (1/(p.Bandwidth*p.RoundTrip) + 1/p.BytesPerRequest)
}
