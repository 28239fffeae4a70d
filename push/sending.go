package push

import (
	"context"
	"sync"

	"github.com/opencontainers/go-digest"
)

// sending is which blobs are being uploaded to a registry right now, by any push
// of a Pusher. A push that is about to send a blob which another one sends
// already waits for it, and then finds it in the target or mounts it. Only
// uploads are held back: a wait is for one that is under way, never for one that
// waits itself.
type sending struct {
	// mu guards uploads.
	mu      sync.Mutex
	uploads map[blobAt]*upload
}

// blobAt is a blob on a registry host.
type blobAt struct {
	host   string
	digest digest.Digest
}

// upload is one that is under way.
type upload struct {
	repository string
	landing
}

// begin registers an upload to repository. If the blob is being sent already, it
// returns that upload instead.
func (s *sending) begin(key blobAt, repository string) (own, other *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.uploads[key]; u != nil {
		return nil, u
	}
	own = &upload{repository: repository, landing: landing{done: make(chan struct{})}}
	if s.uploads == nil {
		s.uploads = map[blobAt]*upload{}
	}
	s.uploads[key] = own
	return own, nil
}

// end tells those who wait how the upload went.
func (s *sending) end(key blobAt, u *upload, ok bool) {
	s.mu.Lock()
	delete(s.uploads, key)
	s.mu.Unlock()
	u.settle(ok)
}

// await waits for the upload of another push and returns the repository in which
// the blob stands then, or "" when it did not get there.
func (u *upload) await(ctx context.Context) (string, error) {
	ok, err := u.wait(ctx)
	if err != nil || !ok {
		return "", err
	}
	return u.repository, nil
}
