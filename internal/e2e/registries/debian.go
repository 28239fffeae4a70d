package registries

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

const (
	debianName    = "docker-registry"
	debianProgram = "docker-registry"
)

// Debian is the docker-registry of Debian, which is distribution 2.8, with
// storage on disk. It runs as a process of its own. A session that holds more than
// it did when its URL was made is cancelled by the first request to it.
func Debian(program string) Kind {
	return Kind{Name: debianName, Mounts: true, Distribution: true, disk: true, start: func(ctx context.Context, p place) (*started, error) {
		return debian(ctx, program, p.dir)
	}}
}

// debian runs the program with its storage in dir, and returns a proxy to it.
func debian(ctx context.Context, program, dir string) (*started, error) {
	text := stored(dir)
	file := filepath.Join(dir, "config.yml")
	// Only its log says which port it has.
	if err := os.WriteFile(file, []byte(regexp.MustCompile(`level: \w+`).ReplaceAllString(text, "level: info")), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, program, "serve", file)
	cmd.Env = []string{"OTEL_TRACES_EXPORTER=none"}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	read := make(chan struct{})
	address := make(chan string, 1)
	go func() {
		defer close(read)
		defer close(address)
		findAddress(stderr, address)
	}()
	stop := func() {
		cancel()
		<-read
		_ = cmd.Wait() // it was killed
	}
	host, ok := <-address
	if !ok {
		stop()
		return nil, fmt.Errorf("%s ended before it listened", program)
	}
	return &started{handler: proxy(host), stop: stop}, nil
}

// findAddress reads a log to its end and sends the address that it names once.
func findAddress(stderr io.Reader, address chan<- string) {
	listening := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
	found := false
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil && !found {
			address <- m[1]
			found = true
		}
	}
	_, _ = io.Copy(io.Discard, stderr) // after a line that is too long
}

// proxy returns a handler that passes requests on to host. The Host header stays
// as it came, so that the registry's URLs lead back here.
func proxy(host string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: host})
			r.Out.Host = r.In.Host
		},
		ErrorLog: log.New(io.Discard, "", 0), // clients break off on purpose
	}
}
