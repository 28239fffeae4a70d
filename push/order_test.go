package push

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestOrder: blobs go on the wire in their order, however soon each of them is
// ready, and wait only so long for those of which nothing is known.
func TestOrder(t *testing.T) {
	const never = time.Hour
	for _, tt := range []struct {
		name  string
		ready []time.Duration // when each is about to be sent, by its place in the order
		found []int           // that turn out, when ready, not to be sent
		want  []int
		took  time.Duration
	}{
		{"in order", []time.Duration{1, 2, 3}, nil, []int{0, 1, 2}, 3},
		{"in reverse", []time.Duration{3, 2, 1}, nil, []int{0, 1, 2}, 3},
		{"at once", []time.Duration{0, 0, 0}, nil, []int{0, 1, 2}, 0},
		{"one was found", []time.Duration{3, 2, 1}, []int{0, 1}, []int{2}, 3},
		{"one is late", []time.Duration{300 * time.Millisecond, 0, 0}, nil, []int{1, 2, 0}, 300 * time.Millisecond},
		{"one is not heard of", []time.Duration{never, 1, 0}, []int{0}, []int{1, 2}, never},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrder([]int{0, 1, 2})
				sent := make(chan int, 3)
				began := time.Now()
				done := make(chan struct{})
				for i, after := range tt.ready {
					go func() {
						defer func() { done <- struct{}{} }()
						time.Sleep(after)
						if !slices.Contains(tt.found, i) {
							if err := o.wait(t.Context(), i); err != nil {
								t.Error(err)
							}
							sent <- i
						}
						o.set(i, gone)
					}()
				}
				for range tt.ready {
					<-done
				}
				close(sent)
				var got []int
				for i := range sent {
					got = append(got, i)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("sent %v, want %v", got, tt.want)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// TestOrderQueued: one that is about to be sent is waited for as long as it takes.
func TestOrderQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrder([]int{1, 0})
		if err := o.wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := o.wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		var none *order
		if err := none.wait(t.Context(), 7); err != nil {
			t.Error(err)
		}
		none.set(7, gone)
	})
}
