package push

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/crossmount/crossmount/internal/flight"
	"github.com/crossmount/crossmount/internal/ledger"
	"github.com/crossmount/crossmount/mount"
)

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
	kept   map[string]*kept // by host
	rest   time.Time        // when the memory may be saved to again
	warned bool
}

// kept is what a keeper knows of one host.
type kept struct {
	loaded bool
	taught map[mount.Kind]bool // tries that were made as the last request of a push
	users  int                 // that save, or wait to
	saving chan struct{}       // a slot
}

// maxKeptHosts bounds the hosts that a keeper knows. When there are more, it
// forgets them, and loads again what is remembered of those that come back.
const maxKeptHosts = 1024

func newKeeper(m Memory, l *ledger.Ledger, log *slog.Logger) *keeper {
	return &keeper{memory: m, ledger: l, log: log, kept: map[string]*kept{}}
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
	return k.kept[host] != nil && k.kept[host].loaded
}

// first says whether it is asked for the first time of a host and a kind of try,
// with a memory that has not failed.
func (k *keeper) first(host string, try mount.Kind) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.of(host)
	first := !h.taught[try] && !k.warned
	h.taught[try] = true
	return first
}

// of returns what is known of a host. The caller holds mu.
func (k *keeper) of(host string) *kept {
	h := k.kept[host]
	if h == nil {
		if len(k.kept) >= maxKeptHosts {
			maps.DeleteFunc(k.kept, func(_ string, h *kept) bool { return h.users == 0 })
		}
		h = &kept{taught: map[mount.Kind]bool{}, saving: make(chan struct{}, 1)}
		k.kept[host] = h
	}
	return h
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
	k.of(host).loaded = true
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
	slot := k.use(host, 1).saving
	defer k.use(host, -1)
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

// use notes that there are n more who save what was learned of a host.
func (k *keeper) use(host string, n int) *kept {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.of(host)
	h.users += n
	return h
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
