package push

import (
	"context"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/transport"
)

const (
	// manifestTimes is how often a manifest is put that the registry should take:
	// some see their latest blobs only a moment later.
	manifestTimes = 3
	// manifestPause is the wait in between, in seconds.
	manifestPause = 0.3
)

// putManifest puts a manifest under its digest, again when the registry does not
// see the blob yet. The text is about the last answer.
func (b *prober) putManifest(ctx context.Context, at *place, m content, tags ...string) (a transport.Answer, text string) {
	request := "PUT manifest"
	if at != b.target {
		request += " " + at.name
	}
	if len(tags) > 0 {
		request += " ?tag=T"
	}
	for times := 1; ; times++ {
		a = at.PutTagged(ctx, string(types.OCIManifestSchema1), m.data, tags...)
		text = b.count(request, a)
		if a.OK() || a.Status >= 500 || !a.Heard() {
			at.put(m.digest, a.OK())
		}
		late := a.Status == http.StatusNotFound || a.Has(wire.CodeBlobUnknown) || a.Has(wire.CodeManifestBlobUnknown)
		if !late || times == manifestTimes || pause(ctx, manifestPause) != nil {
			return a, text
		}
	}
}

// manifests puts a complete manifest, with a tag as a parameter, and one that
// names a blob which is nowhere.
func (b *prober) manifests(ctx context.Context) {
	m, tag := manifestOf(b.known, nil), "probe-"+newContent(probeSize).digest.Encoded()[:12]
	a, text := b.putManifest(ctx, b.target, m, tag)
	if slices.Contains(a.Tags(), tag) {
		text += " with OCI-Tag"
		b.target.tags = append(b.target.tags, tag)
	}
	b.set(TraitTagParams, judged(a, slices.Contains(a.Tags(), tag)), text)
	if !a.OK() {
		if a, text = b.putManifest(ctx, b.target, m); !a.OK() {
			b.leave(text, TraitValidates, TraitNamesMissing, TraitSubject, TraitReferrers)
			return
		}
	}
	nowhere := newContent(probeSize)
	m = manifestOf(nowhere, nil)
	a = b.target.PutTagged(ctx, string(types.OCIManifestSchema1), m.data)
	refused := b.count("PUT manifest naming nowhere", a)
	if a.OK() || !a.Heard() {
		b.target.put(m.digest, a.OK())
	}
	v := judged(a, !a.OK())
	if a.Status == http.StatusInternalServerError { // with one that is complete it had no trouble
		v = Yes
	}
	b.set(TraitValidates, v, text+"; "+refused)
	if v == Yes {
		named := slices.Contains(a.Missing(), nowhere.digest)
		b.set(TraitNamesMissing, map[bool]Value{true: Yes, false: No}[named], refused)
	}
	b.leave(refused, TraitNamesMissing)
}

// subject puts a manifest that refers to another one, and asks for the list of
// those.
func (b *prober) subject(ctx context.Context) {
	of := manifestOf(b.known, nil)
	if !slices.Contains(b.target.manifests, thing{of.digest, true}) {
		return
	}
	m := manifestOf(b.known, &descriptor{string(types.OCIManifestSchema1), of.digest, len(of.data)})
	a, text := b.putManifest(ctx, b.target, m)
	if a.Subject() != "" {
		text += " with OCI-Subject"
	}
	b.set(TraitSubject, judged(a, a.Subject() == of.digest), text)
	if !a.OK() {
		b.leave(text, TraitReferrers)
		return
	}
	a, list := b.target.Referrers(ctx, of.digest)
	text = b.count("GET referrers", a)
	listed := slices.Contains(list, m.digest)
	if a.OK() && !listed {
		text += ", not listed"
	}
	b.set(TraitReferrers, judged(a, listed), text)
}
