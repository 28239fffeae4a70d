package registrytest

import (
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Registry is an OCI registry in memory. It serves HTTP by [Registry.ServeHTTP]. Make one with [New]. All
// methods are safe for concurrent use.
type Registry struct {
	// mu guards all fields below, and what they point to. Bodies are read and replies are written without it.
	mu         sync.Mutex
	behaviour  Behaviour
	repos      map[string]*repository
	sessions   map[string]*session
	entries    []*Entry
	labels     map[digest.Digest]string
	violations []string
	counts     Counts
	requests   int       // since New, for Entry.Seq
	opened     int       // sessions since New, for their ids
	limited    int       // requests refused for RateLimit
	phantoms   int       // mounts answered falsely for PhantomMount
	challenges int       // challenges sent since New
	free       time.Time // when the link of BytesPerSecond is free again

	// faultMu guards faults. It is never held together with mu.
	faultMu sync.Mutex
	faults  []*armed
}

// repository is one repository. A repository exists once something was put into it.
type repository struct {
	blobs     map[digest.Digest]*blob
	manifests map[digest.Digest]manifest
	tags      map[string]digest.Digest
	received  map[digest.Digest]bool // blobs whose bytes came in full, without a fault
	uploads   int                    // blobs that came by upload
	refused   int                    // manifests refused for EventualManifest
}

// blob is the content of a blob. Repositories that hold the same blob share it.
type blob struct {
	data      []byte
	size      int64
	discarded bool // data was not kept
}

// New returns an empty registry with the manners of b.
func New(b Behaviour) *Registry {
	r := &Registry{
		repos:    map[string]*repository{},
		sessions: map[string]*session{},
		labels:   map[digest.Digest]string{},
	}
	r.behaviour = b
	r.resetCounts()
	return r
}

// SetBehaviour changes the manners of r. Requests under way keep those that they began with. What counts
// the first requests (RateLimit, PhantomMount, EventualManifest) counts anew.
func (r *Registry) SetBehaviour(change func(*Behaviour)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.behaviour)
	r.limited, r.phantoms = 0, 0
	for _, repo := range r.repos {
		repo.refused = 0
	}
}

// CreateRepository makes an empty repository, as it exists on registries that do not create one on push.
func (r *Registry) CreateRepository(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repository(name)
}

// PutBlob puts content into the repository without a request, and returns its digest (SHA-256).
func (r *Registry) PutBlob(repo string, content []byte) digest.Digest {
	d := digest.FromBytes(content)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repository(repo).blobs[d] = &blob{data: slices.Clone(content), size: int64(len(content))}
	return d
}

// PutManifest puts a manifest into the repository without a request and without checks, under its digest
// (SHA-256, which it returns) and, when reference is a tag, under the tag. An empty reference sets no tag.
func (r *Registry) PutManifest(repo, reference, mediaType string, body []byte) digest.Digest {
	d := digest.FromBytes(body)
	if given := digest.Digest(reference); given.Validate() == nil {
		d, reference = given, ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.repository(repo)
	in.manifests[d] = manifest{mediaType: mediaType, body: slices.Clone(body)}
	if reference != "" {
		in.tags[reference] = d
	}
	return d
}

// Blob returns a copy of the content of a blob, and whether the repository holds it.
func (r *Registry) Blob(repo string, d digest.Digest) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.lookup(repo).blobs[d]
	if !ok {
		return nil, false
	}
	return slices.Clone(b.data), true
}

// Manifest returns a copy of the manifest that a tag or digest names, and its media type.
func (r *Registry) Manifest(repo, reference string) (body []byte, mediaType string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, m, ok := r.lookup(repo).manifest(reference)
	return slices.Clone(m.body), m.mediaType, ok
}

// DeleteBlob takes a blob out of the repository without a request, as a garbage collection does.
func (r *Registry) DeleteBlob(repo string, d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lookup(repo).blobs, d)
}

// Repositories returns the names of the repositories, sorted.
func (r *Registry) Repositories() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.repos))
	for name := range r.repos {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Tags returns the tags of the repository, sorted.
func (r *Registry) Tags(repo string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lookup(repo).tagNames()
}

// repository returns the repository, newly made when it does not exist. The caller holds mu.
func (r *Registry) repository(name string) *repository {
	repo, ok := r.repos[name]
	if !ok {
		repo = &repository{
			blobs:     map[digest.Digest]*blob{},
			manifests: map[digest.Digest]manifest{},
			tags:      map[string]digest.Digest{},
			received:  map[digest.Digest]bool{},
		}
		r.repos[name] = repo
	}
	return repo
}

// lookup returns the repository, or an empty one that is not kept. The caller holds mu.
func (r *Registry) lookup(name string) *repository {
	if repo, ok := r.repos[name]; ok {
		return repo
	}
	return &repository{}
}

// anywhere returns the blob from whatever repository holds it. The caller holds mu.
func (r *Registry) anywhere(d digest.Digest) (*blob, bool) {
	for _, repo := range r.repos {
		if b, ok := repo.blobs[d]; ok {
			return b, true
		}
	}
	return nil, false
}

func (repo *repository) tagNames() []string {
	names := make([]string, 0, len(repo.tags))
	for tag := range repo.tags {
		names = append(names, tag)
	}
	slices.Sort(names)
	return names
}

// manifest finds a manifest by tag or digest.
func (repo *repository) manifest(reference string) (digest.Digest, manifest, bool) {
	d, ok := repo.tags[reference]
	if !ok {
		d = digest.Digest(reference)
	}
	m, ok := repo.manifests[d]
	return d, m, ok
}
