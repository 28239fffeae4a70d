package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/crossmount/crossmount/internal/flight"
	"github.com/crossmount/crossmount/internal/ledger"
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
// seconds, and what goes wrong is logged once, as a warning.
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

const (
	// memoryTime bounds one call of a memory.
	memoryTime = 2 * time.Second
	// memoryRest is how long a memory is left alone after it failed to save, so
	// that pushes do not wait for it one after the other.
	memoryRest = time.Minute
)

// keeper brings the ledger of a Pusher and a Memory together.
type keeper struct {
	memory Memory // nil for none
	ledger *ledger.Ledger
	log    *slog.Logger
	loads  flight.Group[string, bool]

	// mu guards the fields below.
	mu     sync.Mutex
	loaded map[string]bool          // hosts
	saving map[string]chan struct{} // a slot for each host
	rest   time.Time                // when the memory may be saved to again
	warned bool
}

func newKeeper(m Memory, l *ledger.Ledger, log *slog.Logger) *keeper {
	return &keeper{memory: m, ledger: l, log: log, loaded: map[string]bool{}, saving: map[string]chan struct{}{}}
}

// recall fills the ledger with what is remembered of the hosts, once for each.
// Pushes that want the same host at once wait for the same load.
func (k *keeper) recall(ctx context.Context, groups []group) {
	if k.memory == nil {
		return
	}
	var wg sync.WaitGroup
	for _, g := range groups {
		host := g.registry.RegistryStr()
		if !k.isLoaded(host) {
			wg.Go(func() {
				_, _ = k.loads.Do(ctx, host, func(ctx context.Context) (bool, error) { return k.load(ctx, host), nil })
			})
		}
	}
	wg.Wait()
}

func (k *keeper) isLoaded(host string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.loaded[host]
}

// load loads what is remembered of a host, and returns whether it did. A load
// that failed is not repeated, but one that nobody waits for any more is.
func (k *keeper) load(ctx context.Context, host string) bool {
	if k.isLoaded(host) {
		return true
	}
	err := k.fetch(ctx, host)
	if ctx.Err() != nil {
		return false
	}
	k.mu.Lock()
	k.loaded[host] = true
	k.mu.Unlock()
	if err != nil {
		k.warn(host, err)
	}
	return err == nil
}

// fetch brings the segments of a host into the ledger.
func (k *keeper) fetch(ctx context.Context, host string) error {
	ctx, stop := context.WithTimeout(ctx, memoryTime)
	defer stop()
	kept, err := k.memory.Load(ctx, host)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	segments := make([]ledger.Segment, len(kept))
	for i, s := range kept {
		segments[i] = ledger.Segment(s)
	}
	k.ledger.Import(host, segments)
	return nil
}

// keep saves what was learned of the hosts, if there is anything new. It goes
// on when the push was cancelled, but then in a hurry.
func (k *keeper) keep(ctx context.Context, groups []group) {
	if k.memory == nil {
		return
	}
	most := memoryTime
	if ctx.Err() != nil {
		most = hurriedTime
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer stop()
	var wg sync.WaitGroup
	for _, g := range groups {
		wg.Go(func() { k.save(ctx, g.registry.RegistryStr()) })
	}
	wg.Wait()
}

// save saves what was learned of a host. One save of a host goes on at a time:
// what many pushes have learned in the meantime is then saved by the next.
func (k *keeper) save(ctx context.Context, host string) {
	slot := k.slot(host)
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	case <-ctx.Done():
		return
	}
	if k.resting() {
		return
	}
	if err := k.store(ctx, host); err != nil {
		k.mu.Lock()
		k.rest = time.Now().Add(memoryRest)
		k.mu.Unlock()
		k.warn(host, err)
	}
}

// store makes a segment of what was learned of a host and saves it.
func (k *keeper) store(ctx context.Context, host string) error {
	if k.ledger.Stale(host) {
		if err := k.fetch(ctx, host); err != nil {
			return err
		}
	}
	e, ok := k.ledger.Export(host)
	if !ok {
		return nil
	}
	if err := k.memory.Save(ctx, host, e.Content, e.Replaces); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	k.ledger.Saved(e)
	return nil
}

// slot returns the slot that a save of a host takes.
func (k *keeper) slot(host string) chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.saving[host] == nil {
		k.saving[host] = make(chan struct{}, 1)
	}
	return k.saving[host]
}

func (k *keeper) resting() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Now().Before(k.rest)
}

// warn logs what went wrong, the first time that something does.
func (k *keeper) warn(host string, err error) {
	k.mu.Lock()
	first := !k.warned
	k.warned = true
	k.mu.Unlock()
	if first {
		k.log.Warn("memory of earlier pushes is of no use", "host", host, "err", err)
	}
}
