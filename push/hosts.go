package push

import (
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/internal/lru"
	"github.com/crossmount/crossmount/transport"
)

// maxHosts bounds the registries of which a Pusher keeps connections, tokens and
// limits. The one that was used longest ago makes room, unless it is in use.
const maxHosts = 256

// hostKey tells registries apart.
type hostKey struct{ scheme, host string }

func hostKeyOf(r name.Registry) hostKey { return hostKey{r.Scheme(), r.RegistryStr()} }

// used is what speaks to a registry, and how many use it now.
type used struct {
	*transport.Host
	users int
}

func newHosts() *lru.Map[hostKey, *used] {
	hosts := lru.New[hostKey, *used](maxHosts)
	hosts.InUse = func(u *used) bool { return u.users > 0 }
	hosts.Dropped = func(u *used) { u.CloseIdle() }
	return hosts
}

// host returns what speaks to a registry. It is in use until leave is called.
func (p *Pusher) host(r name.Registry) *transport.Host {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.hosts.Get(hostKeyOf(r))
	if !ok {
		o := p.options
		u = &used{Host: transport.NewHost(transport.Config{
			Registry: r, Keychain: o.keychain, Base: o.base, UserAgent: o.agent, Logger: o.log, Retry: o.retry,
			Requests: o.concurrency, Uploads: (o.concurrency + 1) / 2, Stall: o.stall,
		})}
		p.hosts.Put(hostKeyOf(r), u)
	}
	u.users++
	return u.Host
}

// leave ends a use of what speaks to a registry.
func (p *Pusher) leave(r name.Registry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u, ok := p.hosts.Get(hostKeyOf(r)); ok {
		u.users--
	}
	p.hosts.Trim()
}

// leaveAll ends a use of each of the registries.
func (p *Pusher) leaveAll(groups []group) {
	for _, g := range groups {
		p.leave(g.registry)
	}
}
