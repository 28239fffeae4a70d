package transport

import (
	"context"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"
)

// Content that is made anew has the limit of content again, and a dial for others
// that goes on once there is a connection moves nothing.
func TestWatcher(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(w *watcher, trace *httptrace.ClientTrace)
		want time.Duration // until it is cut
	}{
		"nothing":      {func(*watcher, *httptrace.ClientTrace) {}, time.Second},
		"content sent": {func(w *watcher, _ *httptrace.ClientTrace) { w.settling() }, 3 * time.Second},
		"content made anew": {func(w *watcher, _ *httptrace.ClientTrace) {
			w.settling()
			w.anew()
			w.moved()
		}, time.Second},
		"a dial": {func(_ *watcher, trace *httptrace.ClientTrace) {
			time.Sleep(900 * time.Millisecond)
			trace.ConnectStart("tcp", "192.0.2.1:443")
		}, 1900 * time.Millisecond},
		"a dial for others": {func(_ *watcher, trace *httptrace.ClientTrace) {
			trace.GotConn(httptrace.GotConnInfo{})
			time.Sleep(900 * time.Millisecond)
			trace.ConnectStart("tcp", "192.0.2.1:443")
		}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, w := watch(t.Context(), time.Second, 3*time.Second, true)
				defer w.end()
				tt.do(w, httptrace.ContextClientTrace(ctx))
				<-ctx.Done()
				if took := time.Since(began); took != tt.want || context.Cause(ctx) != errStalled {
					t.Errorf("%v after %v, want %v", context.Cause(ctx), took, tt.want)
				}
			})
		})
	}
}
