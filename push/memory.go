package push

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/crossmount/crossmount/internal/memory"
)

// Segment is a part of what is remembered of a registry host. Its content is
// made and read by this package alone. It names repositories, digests and the
// ways of the host, never a credential.
type Segment struct {
	// Name is what the [Memory] calls it.
	Name string
	// Content is text of at most 2 MiB.
	Content []byte
}

// Memory keeps what pushes have learned of registry hosts beyond the end of the
// process: on a disk, or in a store that a fleet shares. See [DiskMemory].
//
// It need not be reliable: a segment that was lost, torn or edited costs
// requests and fails no push. Segments are facts that add up in any order, so
// nothing has to be locked or compared. What is older than a week is of no use
// and may be dropped.
//
// A Memory must be safe for concurrent use. Both methods must return soon after
// their context has ended.
type Memory interface {
	// Load returns the segments kept of a host (with its port, if it has one), in
	// any order. It is called once for each host of a Pusher, before the first
	// push to it, and now and then when the Pusher has saved many; at most 256
	// segments and 8 MiB are looked at.
	Load(ctx context.Context, host string) ([]Segment, error)
	// Save adds a segment of a host, under a name that no other has. Those named
	// in replaces, as Load named them, are contained in it and may be dropped.
	Save(ctx context.Context, host string, content []byte, replaces []string) error
}

// WithMemory lets the Pusher start from what earlier pushes have learned, of
// other processes too, and adds what it learns. The default is to remember as
// long as the Pusher lives.
//
// No push fails or waits long because a memory does: each call of it has two
// seconds, and what goes wrong is logged once, as a warning. With a memory, the
// first pushes to a host each end with one mount of a blob that they have brought,
// as long as its answer would settle for those to come how the host mounts.
func WithMemory(m Memory) Option {
	return func(o *options) error {
		if m == nil {
			return errors.New("memory is nil")
		}
		o.memory = m
		return nil
	}
}

// DiskMemory returns a memory in a folder that many processes may share. An
// empty dir stands for the folder crossmount in os.UserCacheDir. The folder is
// made when something is saved, for its owner only; of each host, at most 256
// files and 8 MiB are kept. The error says that there is no cache folder.
func DiskMemory(dir string) (Memory, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("push: memory: %w", err)
		}
		dir = filepath.Join(cache, "crossmount")
	}
	return disk{memory.New(dir)}, nil
}

// disk is the memory on disk.
type disk struct{ store *memory.Store }

func (d disk) Load(ctx context.Context, host string) ([]Segment, error) {
	kept, err := d.store.Load(ctx, host)
	segments := make([]Segment, len(kept))
	for i, s := range kept {
		segments[i] = Segment(s)
	}
	return segments, err
}

func (d disk) Save(ctx context.Context, host string, content []byte, replaces []string) error {
	return d.store.Save(ctx, host, content, replaces)
}
