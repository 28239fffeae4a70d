package push_test

import (
	"context"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/internal/registrytest"
)

func repository(t testing.TB, s string) name.Repository {
	t.Helper()
	r, err := name.NewRepository(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTry(t *testing.T) {
	for _, k := range registrytest.Registries() {
		t.Run(k.Name, func(t *testing.T) {
			srv := registrytest.Start(t, k.Behaviour)
			srv.Registry.CreateRepository("team/app")
			srv.Registry.CreateRepository("team/base")
			d, err := pusher(t).Probe(context.Background(), repository(t, srv.Host+"/team/app"), repository(t, srv.Host+"/team/base"))
			t.Log(err, "\n"+d.String())
			t.Log(srv.Registry.OpenSessions())
		})
	}
}
