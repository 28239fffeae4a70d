// Package push pushes an image to references, moving as few bytes as the
// registry allows.
//
// [Push] does one image in one call; a [Pusher] holds what is shared between
// pushes: credentials, connections, tokens, and what was learned of registries.
// Both take any image or index of github.com/google/go-containerregistry, and
// any number of references, and return a [Report] that says what became of each
// blob and each reference.
//
// # How it goes
//
// What an image is made of is read from its manifests; no layer is opened. For
// each repository, one look, at the tag or at the manifest that it is remembered
// to hold, shows what stands there. From that, from what the image says of its
// origin, from what the caller named and from what earlier pushes have learned,
// package mount makes a plan: for each blob the order of checks, mounts and uploads
// that costs least. The executor here makes the tries, hands the outcomes back,
// and what they show changes the plan of the blobs that are still to come.
// Manifests follow their blobs, tags come last.
//
// # What never happens
//
// No answer to a mount fails a push: the blob is uploaded then. No tag moves
// before all below it stands. No repository name of one registry is sent to
// another. A layer whose bytes are not what its digest says is never published.
package push
