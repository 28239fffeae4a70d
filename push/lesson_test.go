package push_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// beforeLesson parts the requests of a push to one repository into those up to the
// last manifest that was put, and those after it.
func beforeLesson(lines []string) (before, lesson []string) {
	for i, l := range slices.Backward(lines) {
		if strings.HasPrefix(l, "PUT ") && strings.Contains(l, " manifest ") {
			return lines[:i+1], lines[i+1:]
		}
	}
	return lines, nil
}

// TestLesson: what a push ends with where a memory outlives it, one push after
// the other, each of a process of its own.
func TestLesson(t *testing.T) {
	for _, tt := range []struct {
		name      string
		behaviour registrytest.Behaviour
		opts      []push.Option
		want      []string // for each push
	}{
		{"distribution", registrytest.Behaviour{}, nil, []string{
			"POST uploads mount from=app 201", "POST uploads mount 202, DELETE upload 204", "",
		}},
		{"no self-mounts", registrytest.Behaviour{SelfMountOff: true}, nil, []string{
			"POST uploads mount from=app 202, DELETE upload 204", "POST uploads mount 202, DELETE upload 204", "",
		}},
		{"discovers", registrytest.Behaviour{Discovery: registrytest.DiscoveryOn}, nil, []string{
			"POST uploads mount from=app 201", "POST uploads mount 201", "",
		}},
		{"no discovery wanted", registrytest.Behaviour{}, []push.Option{push.WithoutDiscovery()}, []string{
			"POST uploads mount from=app 201", "", "",
		}},
		{"no mounts wanted", registrytest.Behaviour{}, []push.Option{push.WithoutMounts()}, []string{"", "", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for i, want := range tt.want {
				// A new registry each time, so that nothing but the lessons is learned.
				r := registrytest.New(tt.behaviour)
				img := image(t, "config", layer("small", 100))
				_, lesson := beforeLesson(process(t, r, img, "app:v1", append(tt.opts, diskMemory(t, dir))...))
				if got := anonymous(lesson); got != want {
					t.Errorf("push %d ends with %q, want %q", i+1, got, want)
				}
				if n := r.OpenSessions(); n > 0 {
					t.Errorf("%d sessions are open", n)
				}
			}
		})
	}
}

// anonymous returns requests without their digests and their repository.
func anonymous(lines []string) string {
	var out []string
	for _, l := range lines {
		words := strings.Fields(l)
		for i, w := range words {
			words[i], _, _ = strings.Cut(w, "=sha256:")
		}
		out = append(out, strings.Join(slices.Delete(words, 1, 2), " "))
	}
	return strings.Join(out, ", ")
}

// TestNoLesson: a Pusher without a memory spends nothing on what it would forget.
func TestNoLesson(t *testing.T) {
	r := registrytest.New(registrytest.Behaviour{})
	p := pusher(t, push.WithTransport(registrytest.Network{memoryHost: r}))
	if _, err := p.Push(context.Background(), build(t, 1, 100), ref(t, memoryHost, "app:v1")); err != nil {
		t.Fatal(err)
	}
	if _, lesson := beforeLesson(r.Lines()); len(lesson) > 0 {
		t.Errorf("the push ends with %q", lesson)
	}
}
