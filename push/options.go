package push

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// Option sets one thing of a Pusher. See [New].
type Option func(*options) error

// options is what the options set.
type options struct {
	keychain         authn.Keychain
	base             http.RoundTripper
	log              *slog.Logger
	agent            string
	concurrency      int
	sources          []name.Repository
	bases            []name.Reference
	evidence         []Evidence
	allowed          []string
	nondistributable bool
	retry            transport.Retry
	stall            time.Duration
	policy           mount.Policy
	memory           Memory
}

// The defaults of the options.
const (
	defaultConcurrency = 8
	maxConcurrency     = 1024
)

// WithKeychain sets where credentials come from. The default is
// authn.DefaultKeychain: the configuration of docker and podman.
func WithKeychain(k authn.Keychain) Option {
	return func(o *options) error {
		if k == nil {
			return errors.New("keychain is nil")
		}
		o.keychain = k
		return nil
	}
}

// WithTransport sets what carries HTTP requests. The default is a clone of
// http.DefaultTransport that keeps as many idle connections as there were
// requests at once; an *http.Transport without MaxIdleConnsPerHost keeps two and
// dials anew for the others. Retries, tokens and redirects are taken care of above
// it. If it is an *http.Transport, the addresses to which a registry leads are
// checked when they are dialled.
func WithTransport(t http.RoundTripper) Option {
	return func(o *options) error {
		if t == nil {
			return errors.New("transport is nil")
		}
		o.base = t
		return nil
	}
}

// WithLogger sets a logger, which gets a line at debug level for each request
// and each decision, never a credential. The default is none.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) error {
		if l == nil {
			return errors.New("logger is nil")
		}
		o.log = l
		return nil
	}
}

// WithUserAgent sets what the User-Agent header says. The default is
// "crossmount".
func WithUserAgent(agent string) Option {
	return func(o *options) error {
		o.agent = agent
		return nil
	}
}

// WithConcurrency bounds how many requests to one registry are in flight at
// once, over all pushes of the Pusher; half as many of them, rounded up, carry
// content. The default is 8.
func WithConcurrency(n int) Option {
	return func(o *options) error {
		if n < 1 || n > maxConcurrency {
			return fmt.Errorf("concurrency %d is not between 1 and %d", n, maxConcurrency)
		}
		o.concurrency = n
		return nil
	}
}

// WithSources names repositories that are worth trying to mount from, such as
// those of base images. A repository serves only pushes to its own registry,
// and its name is sent to no other. The default is none; the option adds up.
func WithSources(repositories ...name.Repository) Option {
	return func(o *options) error {
		for _, r := range repositories {
			if r.RepositoryStr() == "" {
				return fmt.Errorf("source %q names no repository", r)
			}
		}
		o.sources = append(o.sources, repositories...)
		return nil
	}
}

// WithBases names images that others are likely built on. When a push to the
// same registry has layers of which nothing is known, the manifest of each is
// read, once by a Pusher, to learn which layers its repository holds; no layer is
// read. An image that names its base in the annotations
// org.opencontainers.image.base.name and .digest needs no such option. The
// default is none; the option adds up.
func WithBases(images ...name.Reference) Option {
	return func(o *options) error {
		for _, ref := range images {
			if ref = plain(ref); ref == nil || ref.Context().RepositoryStr() == "" {
				return errors.New("base image names no repository")
			}
		}
		o.bases = append(o.bases, images...)
		return nil
	}
}

// WithEvidence adds sources of facts. The default is none; the option adds up.
func WithEvidence(sources ...Evidence) Option {
	return func(o *options) error {
		for _, e := range sources {
			if e == nil {
				return errors.New("evidence is nil")
			}
		}
		o.evidence = append(o.evidence, sources...)
		return nil
	}
}

// WithMountsFrom restricts the repositories that blobs may be mounted from to
// those named, and to those below a name that ends in "/". Names are those of
// repositories without their registry. Mounts without a source are not asked for
// then. The default is no restriction; the option adds up.
func WithMountsFrom(repositories ...string) Option {
	return func(o *options) error {
		for _, r := range repositories {
			if r == "" || r == "/" {
				return fmt.Errorf("repository %q to mount from names none", r)
			}
		}
		o.allowed = append(o.allowed, repositories...)
		o.policy.NoDiscovery = o.policy.NoDiscovery || len(repositories) > 0
		return nil
	}
}

// WithNondistributable sends non-distributable layers like any other. The
// default leaves them where their URLs say.
func WithNondistributable() Option {
	return func(o *options) error {
		o.nondistributable = true
		return nil
	}
}

// WithForceUpload trusts nothing and skips nothing: every blob and manifest is
// sent, whatever the registry says it holds. It is for repairing a registry
// that lost or damaged content. The default is off.
func WithForceUpload() Option {
	return func(o *options) error {
		o.policy.Force = true
		return nil
	}
}

// WithoutMounts never asks for a mount; blobs are looked for in the target and
// uploaded. The default is off.
func WithoutMounts() Option {
	return func(o *options) error {
		o.policy.NoMounts = true
		return nil
	}
}

// WithoutDiscovery never asks for a mount without naming a source, so that no
// digest leaves before its bytes do or a source is known. The default is off.
func WithoutDiscovery() Option {
	return func(o *options) error {
		o.policy.NoDiscovery = true
		return nil
	}
}

// WithStrictChecks checks each blob by itself and takes nothing else, such as a
// manifest that names it, for proof that it stands. The default is off.
func WithStrictChecks() Option {
	return func(o *options) error {
		o.policy.Strict = true
		return nil
	}
}

// WithRetry sets how patient requests are. The default is
// transport.DefaultRetry.
func WithRetry(r transport.Retry) Option {
	return func(o *options) error {
		o.retry = r
		return nil
	}
}

// WithStall sets how long a request may go without a byte in either direction.
// Then it is cut and goes on as after a broken connection: an upload is resumed
// if the registry still has what was sent. A registry that has all of a blob may
// take three times as long to answer, and a second more for each 8 MiB of it. The
// default is one minute.
func WithStall(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("stall of %v is not positive", d)
		}
		o.stall = d
		return nil
	}
}

// makeOptions applies opts to the defaults and reports what does not fit.
func makeOptions(opts []Option) (options, error) {
	o := options{keychain: authn.DefaultKeychain, log: slog.New(slog.DiscardHandler), concurrency: defaultConcurrency}
	for _, opt := range opts {
		if opt == nil {
			return options{}, errors.New("an option is nil")
		}
		if err := opt(&o); err != nil {
			return options{}, err
		}
	}
	if o.policy.Force && o.policy.Strict {
		return options{}, errors.New("force upload and strict checks exclude each other")
	}
	return o, nil
}
