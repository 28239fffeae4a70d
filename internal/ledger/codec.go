package ledger

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "crypto/sha512" // makes sha384 and sha512 digests valid
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

const (
	// version is that of the format of segments.
	version = 1
	// maxContent bounds a segment, in bytes.
	maxContent = 2 << 20
)

var (
	// errCorrupt: the segment is torn, was edited, or is of another host.
	errCorrupt = errors.New("corrupt segment")
	// errVersion: the segment is of a version that this one does not know.
	errVersion = errors.New("segment of another version")
)

// envelope is a segment as it is kept. The checksum is of the bytes of Facts.
type envelope struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	Facts   json.RawMessage `json:"facts"`
}

// document is the facts as they are kept. It has no place for anything that
// could tell a credential.
type document struct {
	Host         string                   `json:"host"`
	Repositories []string                 `json:"repositories,omitempty"`
	Blobs        []blobDocument           `json:"blobs,omitempty"`
	Manifests    []manifestDocument       `json:"manifests,omitempty"`
	Traits       map[string]traitDocument `json:"traits,omitempty"`
	PutLimit     *limitDocument           `json:"putLimit,omitempty"`
}

// blobDocument is where a blob was seen: pairs of an index in Repositories and
// a time.
type blobDocument struct {
	Digest digest.Digest `json:"digest"`
	Seen   [][2]int64    `json:"seen"`
}

type manifestDocument struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	Tags       []string      `json:"tags,omitempty"`
	At         stamp         `json:"at"`
}

type traitDocument struct {
	Yes int   `json:"yes"`
	No  int   `json:"no"`
	At  stamp `json:"at"`
}

type limitDocument struct {
	Size int64 `json:"size"`
	At   stamp `json:"at"`
}

// encode writes a segment. The places of one blob come one after the other.
func encode(name string, f facts) ([]byte, error) {
	doc := document{Host: name}
	index := map[string]int64{}
	for _, p := range f.places {
		at, ok := index[p.repository]
		if !ok {
			at = int64(len(doc.Repositories))
			index[p.repository] = at
			doc.Repositories = append(doc.Repositories, p.repository)
		}
		if n := len(doc.Blobs); n == 0 || doc.Blobs[n-1].Digest != p.digest {
			doc.Blobs = append(doc.Blobs, blobDocument{Digest: p.digest})
		}
		b := &doc.Blobs[len(doc.Blobs)-1]
		b.Seen = append(b.Seen, [2]int64{at, int64(p.at)})
	}
	for _, s := range f.lasts {
		doc.Manifests = append(doc.Manifests, manifestDocument{s.target, s.digest, s.tags, s.at})
	}
	names := traitNames()
	for _, t := range f.traits {
		if doc.Traits == nil {
			doc.Traits = map[string]traitDocument{}
		}
		doc.Traits[names[t.trait]] = traitDocument{t.count.Yes, t.count.No, t.at}
	}
	doc.PutLimit = f.limit.document()
	content, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	return json.Marshal(envelope{Version: version, SHA256: hex.EncodeToString(sum[:]), Facts: content})
}

func (m limitFact) document() *limitDocument {
	if m.size == 0 {
		return nil
	}
	return &limitDocument{m.size, m.at}
}

// decode reads a segment of a host: what of it is alive. Single entries that
// make no sense are left out. The work is bounded by maxContent.
func decode(content []byte, name string, now time.Time) (facts, error) {
	if len(content) > maxContent || crowded(content) {
		return facts{}, errCorrupt
	}
	var e envelope
	if json.Unmarshal(content, &e) != nil || e.Version < 1 {
		return facts{}, errCorrupt
	}
	if e.Version != version {
		return facts{}, errVersion
	}
	var doc document
	if sum := sha256.Sum256(e.Facts); hex.EncodeToString(sum[:]) != e.SHA256 || json.Unmarshal(e.Facts, &doc) != nil {
		return facts{}, errCorrupt
	}
	if doc.Host != name {
		return facts{}, errCorrupt
	}
	return doc.facts(now), nil
}

// crowded says that content opens so many objects and arrays that it holds
// something other than facts, whose digests and times need room.
func crowded(content []byte) bool {
	return bytes.Count(content, []byte("{"))+bytes.Count(content, []byte("[")) > 64+len(content)/8
}

// facts returns what of a document is alive.
func (doc document) facts(now time.Time) facts {
	var f facts
	alive := func(s stamp, ttl time.Duration) bool {
		f.future = f.future || s > stampOf(now)
		return s.alive(now, ttl)
	}
	for i, r := range doc.Repositories {
		if !nameable(r) {
			doc.Repositories[i] = ""
		}
	}
	for _, b := range doc.Blobs {
		if b.Digest.Validate() != nil {
			continue
		}
		before := len(f.places)
		for _, s := range b.Seen {
			if s[0] < 0 || s[0] >= int64(len(doc.Repositories)) || doc.Repositories[s[0]] == "" {
				continue
			}
			if at := stamp(s[1]); alive(at, expiry) {
				f.places = append(f.places, placeFact{b.Digest, doc.Repositories[s[0]], at})
			}
		}
		if len(f.places) > before+maxKept { // none that was written by this package
			slices.SortStableFunc(f.places[before:], func(a, b placeFact) int { return cmp.Compare(b.at, a.at) })
			f.places = f.places[:before+maxKept]
		}
	}
	for _, m := range doc.Manifests {
		if m.Digest.Validate() == nil && nameable(m.Repository) && taggable(m.Tags) && alive(m.At, traitExpiry) {
			f.lasts = append(f.lasts, lastFact{m.Repository, m.Digest, m.Tags, m.At})
		}
	}
	for t, s := range traitNames() {
		d, ok := doc.Traits[s]
		if ok && d.Yes >= 0 && d.No >= 0 && d.Yes|d.No != 0 && alive(d.At, traitExpiry) {
			f.traits = append(f.traits, traitFact{t, capped(t, mount.Seen{Yes: d.Yes, No: d.No}), d.At})
		}
	}
	if m := doc.PutLimit; m != nil && m.Size >= minLimit && alive(m.At, traitExpiry) {
		f.limit = limitFact{m.Size, m.At}
	}
	return f
}
