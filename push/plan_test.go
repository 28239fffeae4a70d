package push_test

import (
	"context"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/push"
)

// TestPlan: a plan reads, writes nothing, and is what the push then does.
func TestPlan(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			srv := registrytest.Start(t, sc.behaviour)
			s := &stage{Server: srv, pusher: pusher(t), base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
			img := sc.prepare(t, s)
			srv.Registry.ResetLog()
			plan, err := s.pusher.Plan(context.Background(), img, ref(t, srv.Host, "app:v1"))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range srv.Registry.Log() {
				if e.Method != "GET" && e.Method != "HEAD" {
					t.Errorf("%s %s", e.Method, e.URL)
				}
			}
			if n := srv.Registry.Count().Requests; n > 5 {
				t.Errorf("%d requests", n)
			}
			report, err := s.pusher.Push(context.Background(), img, ref(t, srv.Host, "app:v1"))
			if err != nil {
				t.Fatal(err)
			}
			comparePlan(t, plan, report)
		})
	}
}

// comparePlan checks that what was planned to stand did, and that every blob
// that was sent had an upload in its plan.
func comparePlan(t *testing.T, plan *push.Plan, report *push.Report) {
	t.Helper()
	target := plan.Targets[0]
	if target.Stands != (report.Sent == 0 && report.Requests <= 3) {
		t.Errorf("the plan says that the image stands: %v; the push took %d requests", target.Stands, report.Requests)
	}
	if target.Stands {
		return
	}
	for i, step := range target.Blobs.Steps {
		stands := step.Disposition(nil) == mount.Stands
		if got := report.Blobs[i].Disposition; stands && got != mount.Stands {
			t.Errorf("planned to stand, %s: %s", got, step.Blob)
		}
	}
	if text := plan.String(); !strings.Contains(text, "put "+report.Refs[0].Ref) || !strings.Contains(text, "upload") {
		t.Errorf("plan: %s", text)
	}
}
