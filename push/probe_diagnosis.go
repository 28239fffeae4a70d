package push

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/crossmount/crossmount/mount"
)

// Value is what was found out of a trait.
type Value int

// The values.
const (
	Unknown Value = iota // not found out: the evidence says why
	Yes
	No
)

// String returns "yes", "no" or "unknown".
func (v Value) String() string {
	switch v {
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return "unknown"
}

// MarshalText writes the value as String does.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Trait is a property of a registry host that [Pusher.Probe] finds out. Those
// that decide how a push goes have the names of package mount.
type Trait string

// The traits, in the order of a [Diagnosis]. Those marked with a star need a
// second repository.
const (
	// TraitHeads: HEAD of a blob is answered 200 or 404.
	TraitHeads Trait = "answers HEAD"
	// TraitHeadLocal *: HEAD does not see the blobs of other repositories.
	TraitHeadLocal Trait = "HEAD is local to its repository"

	// TraitMountsFrom *: a mount from a repository that holds the blob brings it.
	TraitMountsFrom Trait = "mounts from"
	// TraitMountsUnreferenced *: also a blob that no manifest there names yet.
	TraitMountsUnreferenced Trait = "mounts what no manifest names"
	// TraitDiscovers *: a mount without from is answered 201 for a blob that only
	// another repository holds (automatic content discovery).
	TraitDiscovers Trait = "discovers"
	// TraitPhantoms *: a mount was answered 201 and the blob was not there. That it
	// is "no" says only that it did not happen here.
	TraitPhantoms Trait = "phantom mounts"
	// TraitTakesAny: a mount without from is answered 201 or 202.
	TraitTakesAny Trait = "takes a mount without from"
	// TraitSeesTarget: it is answered 201 for a blob that the target holds.
	TraitSeesTarget Trait = "sees its target"
	// TraitSelfMounts: a mount from the target itself is answered 201 for a blob
	// that it holds, and for no other.
	TraitSelfMounts Trait = "self-mounts"
	// TraitMissOpens: a mount from a repository that does not hold the blob opens
	// a session: the second one if there is one, else the target.
	TraitMissOpens Trait = "opens a session on a miss"
	// TraitMissUploads: the session that a missed mount opened takes the blob.
	TraitMissUploads Trait = "takes the upload in that session"

	// TraitRelative: the Location of a session is a path without a host.
	TraitRelative Trait = "relative Location"
	// TraitOwnHost: it is at the scheme, host and port of the request.
	TraitOwnHost Trait = "Location on its own host"
	// TraitState: it has a query, which has to be kept.
	TraitState Trait = "Location has a query"
	// TraitNamesDigest: the PUT of a blob is answered 201 with
	// Docker-Content-Digest.
	TraitNamesDigest Trait = "PUT answers 201 with the digest"
	// TraitSinglePost: a POST with the content stores a blob (spec end-4b).
	TraitSinglePost Trait = "takes a blob in one POST"
	// TraitStreams: a PATCH with the content and an empty PUT store a blob.
	TraitStreams Trait = "takes PATCH and PUT"
	// TraitParts: several PATCHes and an empty PUT store a blob.
	TraitParts Trait = "takes an upload in parts"
	// TraitLeastChunk: a session says how small a part may be
	// (OCI-Chunk-Min-Length).
	TraitLeastChunk Trait = "sets a least chunk"
	// TraitStands: GET of a session says how much of it stands (spec end-13).
	TraitStands Trait = "says where a session stands"
	// TraitResumes: a session whose PATCH broke off takes the rest.
	TraitResumes Trait = "resumes uploads"
	// TraitCancels: a session can be deleted (spec end-14).
	TraitCancels Trait = "cancels sessions"

	// TraitValidates: a manifest that names a blob which the repository does not
	// hold is refused.
	TraitValidates Trait = "checks the blobs of manifests"
	// TraitNamesMissing: the refusal gives the digest of the blob.
	TraitNamesMissing Trait = "names missing blobs"
	// TraitTagParams: a manifest can be put with tags as parameters (OCI-Tag).
	TraitTagParams Trait = "takes tags as parameters"
	// TraitSubject: a manifest with a subject is answered with OCI-Subject.
	TraitSubject Trait = "answers OCI-Subject"
	// TraitReferrers: the referrers API lists that manifest.
	TraitReferrers Trait = "lists referrers"
	// TraitDeletesManifests: manifests can be deleted.
	TraitDeletesManifests Trait = "deletes manifests"
	// TraitDeletesBlobs: blobs can be deleted.
	TraitDeletesBlobs Trait = "deletes blobs"
)

// traits returns all traits in their order.
func traits() []Trait {
	return []Trait{
		TraitHeads, TraitHeadLocal,
		TraitMountsFrom, TraitMountsUnreferenced, TraitDiscovers, TraitPhantoms, TraitTakesAny, TraitSeesTarget, TraitSelfMounts,
		TraitMissOpens, TraitMissUploads,
		TraitRelative, TraitOwnHost, TraitState, TraitNamesDigest, TraitSinglePost, TraitStreams, TraitParts, TraitLeastChunk,
		TraitStands, TraitResumes, TraitCancels,
		TraitValidates, TraitNamesMissing, TraitTagParams, TraitSubject, TraitReferrers, TraitDeletesManifests, TraitDeletesBlobs,
	}
}

// Finding is what was found out of one trait.
type Finding struct {
	Trait Trait `json:"trait"`
	Value Value `json:"value"`
	// Evidence is the requests behind it and their answers, such as
	// "POST ?mount=D&from=team/base -> 201; HEAD D -> 200", or why nothing was
	// found out. D stands for the blob in question.
	Evidence string `json:"evidence"`
}

// Diagnosis is what a probe found out of a registry host. See [Pusher.Probe].
type Diagnosis struct {
	// Host is the registry, with its port.
	Host string `json:"host"`
	// Target and Source are the repositories, without the host; Source is "" if
	// no second one was given.
	Target string `json:"target"`
	Source string `json:"source,omitempty"`
	// Traits are the findings: all traits, always in the same order.
	Traits []Finding `json:"traits"`
	// Left is what could not be removed again, each with the reason.
	Left []string `json:"left,omitempty"`
	// Requests counts the requests to the registry; those to token servers are
	// not in it.
	Requests int `json:"requests"`
	// Sent counts the bytes of blobs that went out.
	Sent int64 `json:"sent"`
}

// Of returns the finding of a trait, the zero Finding for one that is not known.
func (d *Diagnosis) Of(t Trait) Finding {
	for _, f := range d.Traits {
		if f.Trait == t {
			return f
		}
	}
	return Finding{}
}

// set notes a finding.
func (d *Diagnosis) set(t Trait, v Value, evidence string) {
	for i := range d.Traits {
		if d.Traits[i].Trait == t {
			d.Traits[i].Value, d.Traits[i].Evidence = v, evidence
		}
	}
}

// leave notes for the traits of which nothing was noted why that is.
func (d *Diagnosis) leave(reason string, ts ...Trait) {
	for _, t := range ts {
		if d.Of(t).Evidence == "" {
			d.set(t, Unknown, reason)
		}
	}
}

// Learned returns the findings as facts for package mount. Unknown ones are not
// among them, and neither is that no phantom was seen: a few mounts do not show
// that a host has none.
func (d *Diagnosis) Learned() []mount.Fact {
	var facts []mount.Fact
	for t := mount.Trait(1); t.Valid(); t++ {
		v := d.Of(Trait(t.String())).Value
		if v == Unknown || t == mount.Phantoms && v == No {
			continue
		}
		facts = append(facts, mount.Fact{Trait: t, Value: v == Yes})
	}
	return facts
}

// String prints the findings as a table, and what is left behind.
func (d *Diagnosis) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s", d.Host, d.Target)
	if d.Source != "" {
		fmt.Fprintf(&b, ", with %s", d.Source)
	}
	fmt.Fprintf(&b, ": %d requests, %d bytes sent\n", d.Requests, d.Sent)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range d.Traits {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Trait, f.Value, f.Evidence)
	}
	w.Flush() // to memory, which does not fail
	for _, l := range d.Left {
		fmt.Fprintf(&b, "left: %s\n", l)
	}
	return b.String()
}
