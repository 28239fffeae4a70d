package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestRun runs the program and looks at what it prints: how many layers each
// push sent, mounted and found present.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, push := range strings.Split(out.String(), "\n\n") {
		got = append(got, fmt.Sprintf("%d uploaded, %d mounted, %d discovered, %d present", strings.Count(push, " uploaded "),
			strings.Count(push, " mounted "), strings.Count(push, "(discovered)"), strings.Count(push, " present ")))
	}
	want := []string{
		"7 uploaded, 0 mounted, 0 discovered, 0 present",
		"2 uploaded, 6 mounted, 0 discovered, 0 present",
		"0 uploaded, 0 mounted, 0 discovered, 8 present",
		"0 uploaded, 0 mounted, 0 discovered, 8 present",
		"7 uploaded, 0 mounted, 0 discovered, 0 present",
		"2 uploaded, 6 mounted, 6 discovered, 0 present",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q in\n%s", got, want, &out)
	}
}
