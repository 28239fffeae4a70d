package push_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
	"github.com/crossmount/crossmount/transport"
)

// troubleCase is what is wrong with a registry that is pushed to beside others.
type troubleCase struct {
	name  string
	fault registrytest.Fault
	err   error
}

func troubles() []troubleCase {
	writes := func(e registrytest.Entry) bool { return e.Method != "GET" && e.Method != "HEAD" }
	return []troubleCase{
		{"refuses writes", registrytest.Fault{Do: registrytest.Status(403), Match: writes}, transport.ErrDenied},
		{"refuses all", registrytest.Fault{Do: registrytest.Status(403)}, transport.ErrDenied},
		{"refuses connections", registrytest.Fault{Do: registrytest.Refuse}, transport.ErrUnheard},
		{"fails", registrytest.Fault{Do: registrytest.Status(500)}, nil},
	}
}

// fourRegistries pushes an image with five references on each of four registries:
// a healthy one, a slow one, one that has what is given as trouble, and one that
// accepts and never answers. Without trouble, it pushes to the first two alone.
func fourRegistries(t *testing.T, trouble *troubleCase) (all []*stand, refs []name.Reference, report *push.Report, err error) {
	const mb = 1 << 20
	network := registrytest.Network{}
	for i, b := range []registrytest.Behaviour{{BytesPerSecond: 8 * mb}, {BytesPerSecond: 2 * mb}, {}, {}} {
		s := &stand{Registry: registrytest.New(b), host: fmt.Sprintf("registry%d.example", i), began: time.Now(), stood: map[string]time.Duration{}}
		all, network[s.host] = append(all, s), s
		if i < 2 || trouble != nil {
			for _, r := range []string{"a:v1", "a:v2", "b:v1", "b:latest", "team/c:v1"} {
				refs = append(refs, ref(t, s.host, r))
			}
		}
	}
	if trouble != nil {
		all[2].Inject(trouble.fault)
		all[3].Inject(registrytest.Fault{Do: registrytest.Stall})
	}
	p := pusher(t, push.WithTransport(network), push.WithStall(5*time.Second))
	report, err = p.Push(context.Background(), image(t, "four", layers("layer", 5, 2*mb)...), refs...)
	return all, refs, report, err
}

// TestFourRegistries: what is wrong with one registry keeps no reference on
// another from standing, nor from standing soon; and each that does not stand has
// an error that says why.
func TestFourRegistries(t *testing.T) {
	var healthy, slow time.Duration
	synctest.Test(t, func(t *testing.T) {
		all, _, _, err := fourRegistries(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		healthy, slow = all[0].last(), all[1].last()
	})
	for _, trouble := range troubles() {
		t.Run(trouble.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all, refs, report, err := fourRegistries(t, &trouble)
				whole := time.Since(all[0].began)
				t.Logf("healthy after %v (alone %v), slow after %v (alone %v), all after %v", all[0].last(), healthy, all[1].last(), slow, whole)
				for i, r := range refs {
					s := all[i/5]
					stands := s.Complete(r.Context().RepositoryStr(), r.Identifier()) == nil
					if stands != (i < 10) || report.Refs[i].Stands != stands || report.Refs[i].Ref != r.Name() {
						t.Errorf("%s stands: %t; report: %+v", r, stands, report.Refs[i])
					}
				}
				checkErrors(t, err, refs[10:15], trouble.err)
				checkErrors(t, err, refs[15:], transport.ErrUnheard)
				if n := len(unjoin(err)); n != 10 {
					t.Errorf("%d errors, want 10: %v", n, err)
				}
				for i, alone := range []time.Duration{healthy, slow} {
					if most := (alone + 2*time.Second) * 8 / 7; all[i].last() > most {
						t.Errorf("the references on %s took %v, more than %v", all[i].host, all[i].last(), most)
					}
				}
				if whole > time.Minute {
					t.Errorf("the push took %v", whole)
				}
			})
		})
	}
}

// unjoin returns the errors that an error joins.
func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// checkErrors fails the test unless err joins, for each reference, a typed error
// with the given cause.
func checkErrors(t *testing.T, err error, refs []name.Reference, cause error) {
	t.Helper()
	for _, r := range refs {
		found := false
		for _, err := range unjoin(err) {
			var e *push.Error
			var answer *transport.Error
			if errors.As(err, &e) && e.Ref == r.Name() {
				found = errors.As(err, &answer) && (cause == nil || errors.Is(err, cause))
				if !found {
					t.Errorf("%s: %v, want %v", r, err, cause)
				}
			}
		}
		if !found {
			t.Errorf("%s: no error", r)
		}
	}
}
