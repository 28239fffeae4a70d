package transport

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// stream is content that is sent in parts, each in a request of its own. It is
// read from the first byte to the last in one go, as long as no part has to be
// sent again.
type stream struct {
	digest  digest.Digest
	body    Body
	content *checkedBody // open, or nil
	at      int64        // where content stands, in bytes, once the parts that were taken are read
}

// open opens the content at offset. What is before counts for the digest.
func (s *stream) open(ctx context.Context, offset int64) error {
	s.close()
	content, err := newCheckedBody(ctx, s.body, s.digest)
	if err != nil {
		return err
	}
	s.content, s.at = content, offset
	return content.skip(offset)
}

// take returns the content for a part of size bytes at offset. A part that is
// taken again finds its bytes read, all or some of them: the content is opened
// anew then.
func (s *stream) take(ctx context.Context, offset, size int64) (*checkedBody, error) {
	if s.at != offset {
		if err := s.open(ctx, offset); err != nil {
			return nil, err
		}
	}
	s.at = offset + size
	return s.content, nil
}

// close closes the content, if it is open.
func (s *stream) close() {
	if s.content != nil {
		s.content.Close()
	}
}
