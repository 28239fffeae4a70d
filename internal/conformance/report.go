package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
)

// Report is what a run of the suite found.
type Report struct {
	Passed, Failed, Skipped int
	Failures                []string // name and message of each test that failed
	Skips                   []string // names of the tests that were skipped
}

// String gives the counts.
func (r Report) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", r.Passed, r.Failed, r.Skipped)
}

// ReadReport reads the JUnit report of the suite. A status that the suite is not known to write counts as
// a failure.
func ReadReport(junit io.Reader) (Report, error) {
	var doc struct {
		Suites []struct {
			Cases []struct {
				Name   string `xml:"name,attr"`
				Status string `xml:"status,attr"`
				Output string `xml:"system-out"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.NewDecoder(junit).Decode(&doc); err != nil {
		return Report{}, fmt.Errorf("conformance: the report is no JUnit XML: %w", err)
	}
	var r Report
	for _, suite := range doc.Suites {
		for _, test := range suite.Cases {
			switch test.Status {
			case "passed":
				r.Passed++
			case "skipped":
				r.Skipped++
				r.Skips = append(r.Skips, test.Name)
			default:
				r.Failed++
				r.Failures = append(r.Failures, fmt.Sprintf("%s (%s): %s", test.Name, test.Status, test.Output))
			}
		}
	}
	return r, nil
}
