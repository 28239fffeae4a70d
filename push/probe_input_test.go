package push_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
	"github.com/crossmount/crossmount/transport"
)

// TestProbeInput: what cannot be probed is an error, and nothing is sent.
func TestProbeInput(t *testing.T) {
	srv, target, source := startProbed(t, registrytest.Behaviour{})
	for _, tt := range []struct {
		name           string
		target, source name.Repository
	}{
		{"no target", name.Repository{}, source},
		{"no source", target, name.Repository{}},
		{"the target as source", target, target},
		{"another registry", target, repository(t, "127.0.0.1:1/"+probeSource)},
	} {
		d, err := pusher(t).Probe(context.Background(), tt.target, tt.source)
		var e *push.Error
		if d == nil || !errors.Is(err, push.ErrReference) || !errors.As(err, &e) || e.Op != "probe" {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if n := srv.Registry.Count().Requests; n > 0 {
		t.Errorf("%d requests", n)
	}
}

// TestProbeUnheard: a registry that is not there is an error.
func TestProbeUnheard(t *testing.T) {
	gone := roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("gone") })
	d, err := pusher(t, push.WithTransport(gone), push.WithRetry(transport.Retry{Attempts: 1})).
		Probe(context.Background(), repository(t, "127.0.0.1:1/"+probeTarget))
	if !errors.Is(err, transport.ErrUnheard) {
		t.Fatal(err)
	}
	for _, f := range d.Traits {
		if f.Value != push.Unknown || f.Evidence == "" {
			t.Errorf("%s: %s by %q", f.Trait, f.Value, f.Evidence)
		}
	}
}

// TestProbeWithTokens: rights that are missing leave traits unknown, and only
// those that they are about.
func TestProbeWithTokens(t *testing.T) {
	for _, tt := range []struct {
		name    string
		access  []string
		mounts  push.Value
		deletes push.Value
		takes   push.Value
		// readable: the source can be mounted from, though the probe could not.
		readable bool
	}{
		{"all", []string{"team/*:pull,push,delete"}, push.Yes, push.Yes, push.Yes, true},
		{"no deleting", []string{"team/*:pull,push"}, push.Yes, push.Unknown, push.Yes, true},
		{"source not to be pushed to", []string{"team/app:pull,push,delete", "team/base:pull"}, push.Unknown, push.Yes, push.Yes, true},
		{"source not to be read", []string{"team/app:pull,push,delete"}, push.Unknown, push.Yes, push.Yes, false},
		{"nothing", []string{"other:pull"}, push.Unknown, push.Unknown, push.Unknown, false},
	} {
		for _, opaque := range []bool{false, true} {
			users := map[string]registrytest.TokenUser{"alice": {Password: "wonder", Access: tt.access}}
			a := startAuthorized(t, registrytest.Behaviour{}, registrytest.TokenBehaviour{Users: users, Opaque: opaque})
			p := pusher(t, alice())
			target := repository(t, a.Host+"/"+probeTarget)
			d, err := p.Probe(context.Background(), target, repository(t, a.Host+"/"+probeSource))
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			for trait, want := range map[push.Trait]push.Value{
				push.TraitMountsFrom: tt.mounts, push.TraitDeletesBlobs: tt.deletes, push.TraitTakesAny: tt.takes,
			} {
				if f := d.Of(trait); f.Value != want {
					t.Errorf("%s, opaque %v: %s is %s by %q, want %s", tt.name, opaque, trait, f.Value, f.Evidence, want)
				}
			}
			if left := standing(a.Registry); tt.deletes == push.Yes && len(left)+len(d.Left) > 0 {
				t.Errorf("%s: left behind %q, said %q", tt.name, left, d.Left)
			}
			if tt.takes != push.Yes {
				continue
			}
			base, from := layer("base", layerSize), ref(t, a.Host, probeSource+":v1")
			seed(t, a.Registry, probeSource, "v1", image(t, "base", base))
			report, err := p.Push(context.Background(), image(t, "app", mountableFrom(base, from)), ref(t, a.Host, probeTarget+":v1"))
			if err != nil || (report.Blobs[0].From == probeSource) != tt.readable {
				t.Errorf("%s, opaque %v: a push after the probe: %v\n%s", tt.name, opaque, err, report)
			}
		}
	}
}

// TestDiagnosisText: the table is aligned, and JSON has the values in words.
func TestDiagnosisText(t *testing.T) {
	d := &push.Diagnosis{Host: "r.test", Target: "a", Source: "b", Requests: 3, Sent: 9, Left: []string{"blob x in a: no"}, Traits: []push.Finding{
		{Trait: "short", Value: push.Yes, Evidence: "HEAD D -> 200"}, {Trait: "rather long", Value: push.Unknown, Evidence: "not asked"},
	}}
	want := "r.test/a, with b: 3 requests, 9 bytes sent\n" +
		"short        yes      HEAD D -> 200\n" +
		"rather long  unknown  not asked\n" +
		"left: blob x in a: no\n"
	if got := d.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	text, err := json.Marshal(d.Traits[1])
	if err != nil || string(text) != `{"trait":"rather long","value":"unknown","evidence":"not asked"}` {
		t.Errorf("%s, %v", text, err)
	}
}
