package main

import "net/http"

// oracle pushes as one who knows what the registry is and holds. It is bound by
// the same rule as everyone: only the registry's word may skip a blob.
type oracle struct{ last map[string]string } // the reference of the last build, by repository

func (o oracle) push(r *registry, b build) {
	proven := map[string]bool{}
	if last := o.last[b.repository]; o.pays(r, b, last) {
		img, _, _ := r.manifest(b.repository, last)
		for _, l := range img.blobs {
			proven[string(l.Digest)] = true
		}
	}
	for _, l := range b.image.blobs {
		from := r.holder(l.Digest)
		switch {
		case proven[string(l.Digest)]:
		case r.holds(b.repository, l.Digest):
			r.head(b.repository, l.Digest)
		case from != "" && r.mounts:
			r.mount(b.repository, l.Digest, from)
		case from != "" && r.any == everywhere:
			r.mount(b.repository, l.Digest, "")
		default:
			r.request(1)
			r.upload(b.repository, l, 1)
		}
	}
	r.put(b.repository, b.tag, b.image)
	o.last[b.repository] = b.tag
}

// pays says whether a look at the manifest of the last build proves more than
// one blob.
func (o oracle) pays(r *registry, b build, last string) bool {
	if last == "" {
		return false
	}
	n := 0
	for _, old := range r.manifests[b.repository+"@"+last].blobs {
		for _, l := range b.image.blobs {
			if old.Digest == l.Digest {
				n++
			}
		}
	}
	return n > 1
}

// recipe pushes by a fixed order of requests, as other clients do: a HEAD of
// each blob, a mount where the build says what it is built on, then the upload.
type recipe struct {
	ping    bool // GET /v2/ first
	discard bool // gives up the session of a mount that missed
	asksAny bool // opens sessions with a mount without a source
	upload  int  // requests of an upload once a session is open
}

func (c recipe) push(r *registry, b build) {
	if c.ping {
		r.request(1)
	}
	r.manifest(b.repository, b.tag)
	for i, l := range b.image.blobs {
		if r.head(b.repository, l.Digest) {
			continue
		}
		session := false
		if i < b.bottom {
			status := r.mount(b.repository, l.Digest, b.base)
			if status == http.StatusCreated {
				continue
			}
			session = status == http.StatusAccepted
		}
		if session && c.discard {
			r.request(1)
			session = false
		}
		if !session && c.asksAny {
			status := r.mount(b.repository, l.Digest, "")
			if status == http.StatusCreated {
				continue
			}
			session = status == http.StatusAccepted
		}
		if !session {
			r.request(1)
		}
		r.upload(b.repository, l, c.upload)
	}
	r.put(b.repository, b.tag, b.image)
}
