package traffic

import (
	"io"
	"net/http"
	"sync/atomic"
)

// meter counts the bytes that are read from a body. Handlers may go on reading
// it in a goroutine of theirs while the count is taken.
type meter struct {
	io.ReadCloser
	n atomic.Int64
}

// Read reads from the body.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.n.Add(int64(n))
	return n, err
}

// read returns how many bytes were read.
func (m *meter) read() int64 { return m.n.Load() }

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes and sends the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (r *recorder) Write(p []byte) (int, error) {
	r.finish()
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the writer.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// finish notes the status that net/http sends where the handler named none.
func (r *recorder) finish() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
}
