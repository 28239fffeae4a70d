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
	from    int64        // where content was opened, in bytes
}

// open opens the content at offset. What is before counts for the digest.
func (s *stream) open(ctx context.Context, offset int64) error {
	s.close()
	content, err := newCheckedBody(ctx, s.body, s.digest)
	if err != nil {
		return err
	}
	s.content, s.from = content, offset
	return content.skip(offset)
}

// take returns the content for a part at offset. It is opened anew if it does not
// stand there: the part was taken before, or a registry has answered to the one
// before it without reading it to its end.
func (s *stream) take(ctx context.Context, offset int64) (*checkedBody, error) {
	if sent, _ := s.content.result(); s.from+sent != offset {
		if err := s.open(ctx, offset); err != nil {
			return nil, err
		}
	}
	return s.content, nil
}

// close closes the content, if it is open.
func (s *stream) close() {
	if s.content != nil {
		s.content.Close()
	}
}
