// Package inventory says what an image is made of: its blobs, once each, and
// its manifests in the order in which they can be pushed.
//
// It is the only reader of go-containerregistry's object model. [Of] walks an
// image or an index and returns values; after that, only digests count. What a
// blob is (digest, size, media type) comes from the bytes of the manifests.
// Content is neither opened nor hashed here: [Blob.Open] does so, once somebody
// has to send the bytes. What go-containerregistry itself computes before it can
// give the bytes of a manifest (an image from uncompressed layers compresses
// them to learn their digests) it computes here as well.
//
// # Where a blob may come from
//
// A layer that was pulled with package remote is a [remote.MountableLayer], and
// stays one through mutate.Append, mutate.Config, mutate.Rebase and an index of
// such images. Wrappers of one's own keep it reachable with a method
// Unwrap() v1.Layer. Package cache (pkg/v1/cache) wraps it away, and so does a
// layer built anew from the content; then only annotations tell.
//
// The config of a pulled image is mountable as long as the image itself is the
// one that package remote returned. Any mutation gives it a new config, or one
// that no longer says where it was.
//
// # What the image does not hold
//
// An index may name manifests that it does not hold, and an image layers: a
// sparse index, a thin image. Neither is an error here, since a registry may hold
// them already. Whoever pushes has to make sure of that.
package inventory
