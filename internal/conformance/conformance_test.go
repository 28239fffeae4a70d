package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/registrytest"
)

const suite = "github.com/opencontainers/distribution-spec/conformance"

// build compiles the suite.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "suite.exe")
	out, err := exec.Command("go", "build", "-o", binary, suite).CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// run runs the suite against a registry with the manners of b.
func run(t *testing.T, binary string, b registrytest.Behaviour, settings ...string) Report {
	t.Helper()
	host, closeServer, err := registrytest.Serve(registrytest.New(b))
	if err != nil {
		t.Fatal(err)
	}
	defer closeServer()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "OCI_") }),
		"OCI_REGISTRY="+host, "OCI_TLS=disabled", "OCI_RESULTS_DIR="+dir, "OCI_LOG=error")
	cmd.Env = append(cmd.Env, settings...)
	// The suite exits with 1 when a test failed; what counts is its report.
	out, runErr := cmd.CombinedOutput()
	file, err := os.Open(filepath.Join(dir, "junit.xml"))
	if err != nil {
		t.Fatalf("the suite left no report: %v, %v\n%s", runErr, err, out)
	}
	defer func() { _ = file.Close() }()
	report, err := ReadReport(file)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// full is a registry that does everything that the specification allows it to leave out.
func full() registrytest.Behaviour {
	return registrytest.Behaviour{
		Discovery:  registrytest.DiscoveryOn,
		SinglePost: registrytest.SinglePostTaken,
		TagParams:  true,
		Subject:    true,
	}
}

// with changes a copy of the full registry.
func with(change func(*registrytest.Behaviour)) registrytest.Behaviour {
	b := full()
	change(&b)
	return b
}

// The tests that the suite skips, by a part of their names, when the registry does not do a thing that is
// optional.
const (
	noAnonymousMount = "/blob-mount-anonymous"
	noMount          = "/mount/blob-mount"
	noSinglePost     = "post only/blob-post-only"
	noCancel         = "/blob-post-cancel" // switched off in the stable version of the suite
	noReferrers      = "/referrers"
)

// TestSuite runs the suite against registries that conform. Nothing may fail, and nothing may be skipped
// but what the registry leaves out.
func TestSuite(t *testing.T) {
	binary := build(t)
	for _, test := range []struct {
		name     string
		b        registrytest.Behaviour
		settings []string
		skips    []string
	}{
		{name: "full", b: full(), settings: []string{"OCI_VERSION=dev"}},
		{name: "full, stable version", b: full(), skips: []string{noCancel}},
		{name: "no discovery", settings: []string{"OCI_VERSION=dev"}, skips: []string{noAnonymousMount},
			b: with(func(b *registrytest.Behaviour) { b.Discovery = registrytest.DiscoveryOff })},
		{name: "discovery in the target only", settings: []string{"OCI_VERSION=dev"}, skips: []string{noAnonymousMount},
			b: with(func(b *registrytest.Behaviour) { b.Discovery = registrytest.DiscoveryTargetOnly })},
		{name: "state in the session's URL", settings: []string{"OCI_VERSION=dev"},
			b: with(func(b *registrytest.Behaviour) { b.LocationForm = registrytest.LocationStateQuery })},
		{name: "mounts nothing", settings: []string{"OCI_VERSION=dev"}, skips: []string{noAnonymousMount, noMount},
			b: with(func(b *registrytest.Behaviour) { b.MountAlways202 = true })},
		{name: "zero", settings: []string{"OCI_API_REFERRER=false"},
			skips: []string{noAnonymousMount, noSinglePost, noCancel, noReferrers}},
	} {
		t.Run(test.name, func(t *testing.T) {
			report := run(t, binary, test.b, test.settings...)
			t.Log(report)
			for _, failure := range report.Failures {
				t.Error(failure)
			}
			if report.Passed < 500 {
				t.Errorf("only %d tests passed", report.Passed)
			}
			checkSkips(t, report.Skips, test.skips)
		})
	}
}

// checkSkips compares what was skipped with what may be.
func checkSkips(t *testing.T, skipped, allowed []string) {
	t.Helper()
	met := map[string]bool{}
	for _, name := range skipped {
		i := slices.IndexFunc(allowed, func(part string) bool { return strings.Contains(name, part) })
		if i < 0 {
			t.Errorf("skipped: %s", name)
			continue
		}
		met[allowed[i]] = true
	}
	for _, part := range allowed {
		if !met[part] {
			t.Errorf("not skipped: %s", part)
		}
	}
}

// TestSuiteNotices runs the suite against registries that do not conform. Each must fail.
func TestSuiteNotices(t *testing.T) {
	binary := build(t)
	for _, test := range []struct {
		name   string
		change func(*registrytest.Behaviour)
		want   string // in the failures
	}{
		{"a mount of another digest", func(b *registrytest.Behaviour) { b.MountDigest = registrytest.DigestOther }, "blob-mount"},
		{"a mount that did not happen", func(b *registrytest.Behaviour) { b.PhantomMount = -1 }, "mount/blob-mount"},
		{"a mount that is refused", func(b *registrytest.Behaviour) { b.MountStatus = 405 }, "blob-mount-anonymous"},
		{"a PUT that answers 204", func(b *registrytest.Behaviour) { b.PutStatus = 204 }, "blob-post-put"},
		{"chunks in any order", func(b *registrytest.Behaviour) { b.RangeIgnored = true }, "chunked"},
		{"a HEAD of the wrong size", func(b *registrytest.Behaviour) { b.HeadSize = 86 }, "blob-head"},
		{"sessions that cannot be cancelled", func(b *registrytest.Behaviour) { b.DeleteSession = 405 }, "blob-post-cancel"},
	} {
		t.Run(test.name, func(t *testing.T) {
			report := run(t, binary, with(test.change), "OCI_VERSION=dev")
			t.Log(report)
			if !strings.Contains(strings.Join(report.Failures, "\n"), test.want) {
				t.Errorf("no failure of %s among %d", test.want, report.Failed)
			}
		})
	}
}

// TestReadReport reads reports as the suite writes them, and one that is none.
func TestReadReport(t *testing.T) {
	const junit = `<testsuites><testsuite>
		<testcase name="a" status="passed"></testcase>
		<testcase name="b" status="skipped"></testcase>
		<testcase name="c" status="failure"><system-out>why</system-out></testcase>
		<testcase name="d" status="error"></testcase>
		<testcase name="e"></testcase>
	</testsuite></testsuites>`
	r, err := ReadReport(strings.NewReader(junit))
	if err != nil {
		t.Fatal(err)
	}
	if r.Passed != 1 || r.Skipped != 1 || r.Failed != 3 || r.Failures[0] != "c (failure): why" {
		t.Errorf("ReadReport = %+v", r)
	}
	if _, err := ReadReport(strings.NewReader("no XML")); err == nil {
		t.Error("no error for a report that is no XML")
	}
}
