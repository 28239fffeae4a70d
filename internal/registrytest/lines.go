package registrytest

import (
	"fmt"
	"strings"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// Lines returns the log as text, a line for each request, the same in every run that sends the same
// requests in the same order: no host, no session id, no state.
//
//	POST app uploads mount=layer1 from=base 202
//	PUT app upload layer1 262144B 201
//	HEAD app blob layer1 404
//	PUT app manifest v1 201
//	DELETE app upload 204
//
// Digests appear by the name that Label gave them, others as sha256:<first 8>. A request that an injected
// fault touched ends in "!" and the fault; one without a reply has "-" for its status.
func (r *Registry) Lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := make([]string, len(r.entries))
	for i, e := range r.entries {
		lines[i] = r.line(e)
	}
	return lines
}

func (r *Registry) line(e *Entry) string {
	words := append([]string{e.Method}, r.subject(e)...)
	if e.Status == 0 {
		words = append(words, "-")
	} else {
		words = append(words, fmt.Sprint(e.Status))
	}
	if e.Fault != 0 {
		words = append(words, "!"+e.Fault.String())
	}
	return strings.Join(words, " ")
}

// subject says what a request is about.
func (r *Registry) subject(e *Entry) []string {
	words := []string{e.Repository}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	switch e.Kind {
	case wire.BlobGet, wire.BlobHead, wire.BlobDelete:
		add("blob %s", r.name(e.Digest))
	case wire.ManifestGet, wire.ManifestHead, wire.ManifestPut, wire.ManifestDelete:
		add("manifest %s", r.reference(e.Reference))
		for _, tag := range e.Tags {
			add("tag=%s", tag)
		}
	case wire.UploadStart, wire.UploadSingle, wire.Mount:
		add("uploads")
		switch e.Kind {
		case wire.Mount:
			add("mount=%s", r.name(e.Digest))
		case wire.UploadSingle:
			add("digest=%s %dB", r.name(e.Digest), e.Sent)
		}
		if e.From != "" {
			add("from=%s", e.From)
		}
	case wire.UploadChunk:
		if chunk := e.Header.Get("Content-Range"); chunk != "" {
			add("upload %s %dB", chunk, e.Sent)
		} else {
			add("upload %dB", e.Sent)
		}
	case wire.UploadFinish:
		add("upload %s %dB", r.name(e.Digest), e.Sent)
	case wire.UploadStatus, wire.UploadCancel:
		add("upload")
	default:
		return r.list(e)
	}
	return words
}

// list is subject for what is neither blob, manifest nor upload.
func (r *Registry) list(e *Entry) []string {
	_, query, _ := strings.Cut(e.URL, "?")
	switch e.Kind {
	case wire.TagList:
		if query != "" {
			return []string{e.Repository, "tags", query}
		}
		return []string{e.Repository, "tags"}
	case wire.Referrers:
		return []string{e.Repository, "referrers", r.name(e.Digest)}
	}
	return []string{e.URL}
}

// name is the label of a digest, or its short form.
func (r *Registry) name(d digest.Digest) string {
	if name, ok := r.labels[d]; ok {
		return name
	}
	algorithm, hex, ok := strings.Cut(d.String(), ":")
	if !ok {
		return d.String()
	}
	return algorithm + ":" + hex[:min(len(hex), 8)]
}

func (r *Registry) reference(text string) string {
	if strings.Contains(text, ":") {
		return r.name(digest.Digest(text))
	}
	return text
}
