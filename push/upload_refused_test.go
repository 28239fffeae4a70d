package push_test

import (
	"testing"
	"testing/synctest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

// TestUploadsFail: a registry that opens sessions and answers 500 to all content is
// given up before the layer was sent many times.
func TestUploadsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 3 << 20
		x := newCopying(t, 1, size, registrytest.Behaviour{})
		x.targets[0].Inject(registrytest.Fault{Do: registrytest.Status(500), Match: func(e registrytest.Entry) bool {
			return e.Kind == wire.UploadFinish || e.Kind == wire.UploadChunk
		}})
		report, err := x.push(t)
		if err == nil {
			t.Error("no error")
		}
		if report.Sent > 13*size {
			t.Errorf("%d bytes sent for %d, in %d requests", report.Sent, size, report.Requests)
		}
	})
}
