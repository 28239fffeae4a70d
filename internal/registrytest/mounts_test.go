package registrytest

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// mountFixture is a registry in which team/base and single hold a blob, app exists without it, and has
// holds it already.
func mountFixture(b Behaviour) (*Registry, digest.Digest) {
	r := New(b)
	content := blobOf("blob", 1000)
	d := r.PutBlob("team/base", content)
	r.PutBlob("single", content)
	r.PutBlob("has", content)
	r.PutBlob("app", []byte("something else"))
	return r, d
}

func TestMount(t *testing.T) {
	const (
		fromBase    = "/v2/app/blobs/uploads/?mount=D&from=team/base"
		fromSingle  = "/v2/app/blobs/uploads/?mount=D&from=single"
		fromMissing = "/v2/app/blobs/uploads/?mount=D&from=not/there"
		fromOther   = "/v2/has/blobs/uploads/?mount=D&from=app"
		noFrom      = "/v2/app/blobs/uploads/?mount=D"
		noFromHas   = "/v2/has/blobs/uploads/?mount=D"
		selfHas     = "/v2/has/blobs/uploads/?mount=D&from=has"
		selfApp     = "/v2/app/blobs/uploads/?mount=D&from=app"
		selfNew     = "/v2/new/blobs/uploads/?mount=D&from=new"
	)
	for _, test := range []struct {
		name   string
		b      Behaviour
		target string
		want   int
	}{
		{"zero, from", Behaviour{}, fromBase, 201},
		{"zero, from of a repository without it", Behaviour{}, fromOther, 202},
		{"zero, from missing", Behaviour{}, fromMissing, 202},
		{"zero, no from", Behaviour{}, noFrom, 202},
		{"zero, no from, held", Behaviour{}, noFromHas, 202},
		{"zero, self, held", Behaviour{}, selfHas, 201},
		{"zero, self, absent", Behaviour{}, selfApp, 202},
		{"zero, self, new repository", Behaviour{}, selfNew, 202},
		{"discovery, no from", Behaviour{Discovery: DiscoveryOn}, noFrom, 201},
		{"discovery, no from, held", Behaviour{Discovery: DiscoveryOn}, noFromHas, 201},
		{"discovery, from missing", Behaviour{Discovery: DiscoveryOn}, fromMissing, 202},
		{"discovery, from ignored", Behaviour{Discovery: DiscoveryOn, FromIgnored: true}, fromMissing, 201},
		{"target only, elsewhere", Behaviour{Discovery: DiscoveryTargetOnly}, noFrom, 202},
		{"target only, held", Behaviour{Discovery: DiscoveryTargetOnly}, noFromHas, 201},
		{"target only, from ignored", Behaviour{Discovery: DiscoveryTargetOnly, FromIgnored: true}, fromBase, 202},
		{"self off", Behaviour{SelfMountOff: true}, selfHas, 202},
		{"always 202", Behaviour{MountAlways202: true, Discovery: DiscoveryOn}, fromBase, 202},
		{"always 202, no from", Behaviour{MountAlways202: true, Discovery: DiscoveryOn}, noFrom, 202},
		{"global blobs", Behaviour{GlobalBlobs: true}, fromBase, 202},
		{"status for any, from", Behaviour{MountStatus: 405}, fromBase, 405},
		{"status for any, no from", Behaviour{MountStatus: 405}, noFrom, 405},
		{"status with from", Behaviour{MountStatus: 415, MountScope: MountsWithFrom}, fromBase, 415},
		{"status with from spares no from", Behaviour{MountStatus: 415, MountScope: MountsWithFrom}, noFrom, 202},
		{"status without from", Behaviour{MountStatus: 400, MountScope: MountsWithoutFrom}, noFrom, 400},
		{"status without from spares from", Behaviour{MountStatus: 400, MountScope: MountsWithoutFrom}, fromBase, 201},
		{"status top level", Behaviour{MountStatus: 400, MountScope: MountsFromTopLevel}, fromSingle, 400},
		{"status top level spares others", Behaviour{MountStatus: 400, MountScope: MountsFromTopLevel}, fromBase, 201},
		{"status top level spares no from", Behaviour{MountStatus: 400, MountScope: MountsFromTopLevel}, noFrom, 202},
		{"status by source", Behaviour{MountFromStatus: map[string]int{"team/base": 401}}, fromBase, 401},
		{"status by source spares others", Behaviour{MountFromStatus: map[string]int{"team/base": 401}}, fromSingle, 201},
		{"from missing 404", Behaviour{MountFromMissing: 404}, fromMissing, 404},
		{"from missing 401", Behaviour{MountFromMissing: 401}, fromMissing, 401},
		{"from missing 404, there", Behaviour{MountFromMissing: 404}, fromOther, 202},
		{"blob missing 404", Behaviour{MountBlobMissing: 404}, fromOther, 404},
		{"blob missing 404, self", Behaviour{MountBlobMissing: 404}, selfApp, 404},
		{"blob missing 404, there", Behaviour{MountBlobMissing: 404}, fromBase, 201},
		{"errors though mounted", Behaviour{MountErrorsThoughMounted: true}, fromBase, 500},
		{"errors though mounted, no from", Behaviour{MountErrorsThoughMounted: true}, noFrom, 202},
		{"unreferenced", Behaviour{ReferencedOnly: true}, fromBase, 202},
		{"unreferenced, self", Behaviour{ReferencedOnly: true}, selfHas, 201},
		{"unreferenced, discovery, held", Behaviour{ReferencedOnly: true, Discovery: DiscoveryOn}, noFromHas, 201},
		{"unreferenced, discovery", Behaviour{ReferencedOnly: true, Discovery: DiscoveryOn}, noFrom, 202},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, d := mountFixture(test.b)
			p := newPeer(t, r)
			target := strings.Replace(test.target, "D", d.String(), 1)
			repo := strings.Split(target, "/")[2]
			_, before := r.Blob(repo, d)
			a := p.want(test.want, "POST", target, nil)
			_, after := r.Blob(repo, d)
			linked := test.want == 201 || test.want == 500
			if after != (before || linked) {
				t.Errorf("the target holds the blob: %v", after)
			}
			if got := r.OpenSessions(); got == 1 != (test.want == 202) {
				t.Errorf("%d sessions are open", got)
			}
			switch test.want {
			case 201:
				if a.header.Get("Docker-Content-Digest") != d.String() || a.location() != "/v2/"+repo+"/blobs/"+d.String() {
					t.Errorf("headers = %v", a.header)
				}
			case 202:
				p.want(201, "PUT", withDigest(a.location(), d), blobOf("blob", 1000))
			}
			noViolations(t, r)
		})
	}
}

func TestMountReferenced(t *testing.T) {
	r := New(Behaviour{ReferencedOnly: true, Discovery: DiscoveryOn})
	config, layer := []byte("{}"), blobOf("layer", 10)
	d := r.PutBlob("base", layer)
	p := newPeer(t, r)
	r.PutManifest("base", "junk", ociManifest, []byte("junk"))
	p.want(202, "POST", "/v2/app/blobs/uploads/?mount="+d.String()+"&from=base", nil)
	r.PutManifest("base", "v1", ociManifest, image(config, layer))
	p.want(201, "POST", "/v2/app/blobs/uploads/?mount="+d.String()+"&from=base", nil)
	p.want(201, "POST", "/v2/other/blobs/uploads/?mount="+d.String(), nil)
}

func TestPhantomMount(t *testing.T) {
	for _, test := range []struct {
		phantoms int
		held     []bool // after each of three mounts into three repositories
	}{
		{0, []bool{true, true, true}},
		{2, []bool{false, false, true}},
		{-1, []bool{false, false, false}},
	} {
		r, d := mountFixture(Behaviour{PhantomMount: test.phantoms})
		p := newPeer(t, r)
		for i, repo := range []string{"a", "b", "c"} {
			p.want(201, "POST", "/v2/"+repo+"/blobs/uploads/?mount="+d.String()+"&from=single", nil)
			if _, held := r.Blob(repo, d); held != test.held[i] {
				t.Errorf("PhantomMount %d: mount %d: held = %v", test.phantoms, i+1, held)
			}
		}
	}
	r, d := mountFixture(Behaviour{PhantomMount: 1, MountErrorsThoughMounted: true})
	newPeer(t, r).want(201, "POST", "/v2/a/blobs/uploads/?mount="+d.String()+"&from=single", nil)
	r.SetBehaviour(func(b *Behaviour) { b.MountErrorsThoughMounted = false })
	newPeer(t, r).want(201, "POST", "/v2/a/blobs/uploads/?mount="+d.String()+"&from=single", nil)
	if _, held := r.Blob("a", d); held {
		t.Error("SetBehaviour did not count phantoms anew")
	}
}

func TestMountHeaders(t *testing.T) {
	r, d := mountFixture(Behaviour{})
	p := newPeer(t, r)
	mount := "/v2/app/blobs/uploads/?mount=" + d.String() + "&from=single"
	for _, test := range []struct {
		form DigestHeader
		want func(string) bool
	}{
		{DigestRight, func(got string) bool { return got == d.String() }},
		{DigestNone, func(got string) bool { return got == "" }},
		{DigestOther, func(got string) bool { return got != d.String() && digest.Digest(got).Validate() == nil }},
	} {
		r.SetBehaviour(func(b *Behaviour) { b.MountDigest = test.form })
		if got := p.want(201, "POST", mount, nil).header.Get("Docker-Content-Digest"); !test.want(got) {
			t.Errorf("MountDigest %d: %q", test.form, got)
		}
	}
	r.SetBehaviour(func(b *Behaviour) { b.CreatedWithoutLocation = true })
	if got := p.want(201, "POST", mount, nil).location(); got != "" {
		t.Errorf("CreatedWithoutLocation: %q", got)
	}
	r.SetBehaviour(func(b *Behaviour) { b.AcceptedWithoutLocation = true })
	if got := p.want(202, "POST", mount+"x", nil).location(); got != "" || r.OpenSessions() != 0 {
		t.Errorf("AcceptedWithoutLocation: %q, %d sessions", got, r.OpenSessions())
	}
	if got := p.want(202, "POST", "/v2/app/blobs/uploads/", nil).location(); got == "" {
		t.Error("AcceptedWithoutLocation: a plain POST has no Location")
	}
}

func TestMountCodes(t *testing.T) {
	for status, code := range map[int]string{
		400: "UNKNOWN", 401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 405: "UNSUPPORTED",
		415: "UNSUPPORTED", 422: "UNKNOWN", 429: "TOOMANYREQUESTS", 500: "UNKNOWN",
	} {
		r, d := mountFixture(Behaviour{MountFromMissing: status})
		a := newPeer(t, r).want(status, "POST", "/v2/app/blobs/uploads/?mount="+d.String()+"&from=no", nil)
		if a.code() != code {
			t.Errorf("%d: %s", status, a.body)
		}
	}
	r, d := mountFixture(Behaviour{MountBlobMissing: 404})
	if a := newPeer(t, r).want(404, "POST", "/v2/has/blobs/uploads/?mount="+d.String()+"&from=app", nil); a.code() != "BLOB_UNKNOWN" {
		t.Errorf("blob missing: %s", a.body)
	}
}
