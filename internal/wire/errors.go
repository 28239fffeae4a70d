package wire

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
)

// MaxErrorBody is how many bytes of an error body are read (64 KiB). ParseErrors ignores what is beyond.
const MaxErrorBody = 64 << 10

const (
	maxErrors  = 64   // errors of one body
	maxCode    = 64   // bytes of a code
	maxMessage = 512  // bytes of a message
	maxDetail  = 4096 // bytes of a detail
)

// Code is an error code of the distribution specification, or one that a registry made up.
type Code string

// The codes of the distribution specification, section "Error Codes".
const (
	CodeBlobUnknown         Code = "BLOB_UNKNOWN"
	CodeBlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	CodeBlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	CodeDigestInvalid       Code = "DIGEST_INVALID"
	CodeManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	CodeManifestInvalid     Code = "MANIFEST_INVALID"
	CodeManifestUnknown     Code = "MANIFEST_UNKNOWN"
	CodeNameInvalid         Code = "NAME_INVALID"
	CodeNameUnknown         Code = "NAME_UNKNOWN"
	CodeSizeInvalid         Code = "SIZE_INVALID"
	CodeUnauthorized        Code = "UNAUTHORIZED"
	CodeDenied              Code = "DENIED"
	CodeUnsupported         Code = "UNSUPPORTED"
	CodeTooManyRequests     Code = "TOOMANYREQUESTS"
)

// Codes outside the specification that registries send.
const (
	CodeRangeInvalid            Code = "RANGE_INVALID"             // distribution 3: a chunk out of order
	CodeTagInvalid              Code = "TAG_INVALID"               // distribution, ECR
	CodePaginationNumberInvalid Code = "PAGINATION_NUMBER_INVALID" // distribution: n= is no number
	CodeManifestUnverified      Code = "MANIFEST_UNVERIFIED"       // distribution
	CodeQuotaExceeded           Code = "QUOTA_EXCEEDED"            // quotas of storage
	CodeUnavailable             Code = "UNAVAILABLE"               // distribution: out of service for now
	CodeUnknown                 Code = "UNKNOWN"                   // no code was given, or none fits
)

// Error is one entry of an error body. It comes from the registry: treat its texts as untrusted. It is
// data, not a Go error.
type Error struct {
	Code    Code
	Message string // without control characters, at most 512 bytes
	Detail  string // the raw JSON of the detail, cut at 4 KiB; "" when there is none
}

// ParseErrors reads an error body: {"errors":[…]}, one bare {"code":…} (zot's 401), {"details":…},
// {"message":…} or {"error":…} (token servers), or plain text, which becomes one Error with CodeUnknown
// and the first line. The Content-Type does not count: olareg and ggcr send JSON as text/plain.
//
// It never fails, and gives nil for an empty body.
func ParseErrors(body []byte) []Error {
	body = bytes.TrimSpace(body[:min(len(body), MaxErrorBody)])
	if len(body) == 0 {
		return nil
	}
	var top struct {
		Errors []json.RawMessage `json:"errors"`
	}
	// A body whose "errors" is no array fails here and is tried as a bare object.
	if json.Unmarshal(body, &top) == nil && len(top.Errors) > 0 {
		errs := make([]Error, 0, min(len(top.Errors), maxErrors))
		for _, raw := range top.Errors[:min(len(top.Errors), maxErrors)] {
			errs = append(errs, parseError(raw))
		}
		return errs
	}
	return []Error{parseError(body)}
}

// parseError reads one entry: an object, a JSON string, or text.
func parseError(raw []byte) Error {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) == nil {
		return errorOf(object)
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return Error{Code: CodeUnknown, Message: clean(line, maxMessage)}
}

func errorOf(object map[string]json.RawMessage) Error {
	text := func(keys ...string) string {
		for _, key := range keys {
			var s string
			if json.Unmarshal(object[key], &s) == nil && s != "" {
				return s
			}
		}
		return ""
	}
	e := Error{
		Code:    Code(clean(text("code"), maxCode)),
		Message: clean(text("message", "details", "error_description", "error"), maxMessage),
	}
	if e.Code == "" {
		e.Code = CodeUnknown
		if e.Message == "" {
			e.Message = clean(text("detail", "title"), maxMessage)
		}
	}
	var compact bytes.Buffer
	if detail := object["detail"]; len(detail) > 0 && json.Compact(&compact, detail) == nil {
		if s := compact.String(); s != "null" {
			e.Detail = cut(s, maxDetail)
		}
	}
	return e
}

// clean removes control characters and bounds the length.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if isControl(r) {
			return -1
		}
		return r
	}, s)
	return cut(strings.TrimSpace(s), limit)
}

// cut bounds s to limit bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// FormatErrors writes an error body of the specification. A Detail that is not JSON is written as a JSON
// string.
func FormatErrors(errs ...Error) []byte {
	type entry struct {
		Code    Code   `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}
	var body struct {
		Errors []entry `json:"errors"`
	}
	body.Errors = make([]entry, 0, len(errs))
	for _, e := range errs {
		item := entry{Code: e.Code, Message: e.Message}
		switch {
		case e.Detail == "":
		case json.Valid([]byte(e.Detail)):
			item.Detail = json.RawMessage(e.Detail)
		default:
			item.Detail = e.Detail
		}
		body.Errors = append(body.Errors, item)
	}
	out, err := json.Marshal(body)
	if err != nil {
		// Strings and checked JSON always marshal.
		panic("wire: FormatErrors: " + err.Error())
	}
	return out
}

// MissingBlobs returns the digests that errs name as missing, in order, once each. Registries put them
// in the detail, bare (distribution), in an object, or in a sentence (olareg), or in the message (ECR:
// "Layers with digests '[…]' do not exist"). zot names none.
func MissingBlobs(errs []Error) []digest.Digest {
	var missing []digest.Digest
	for _, e := range errs {
		if !saysMissing(e) {
			continue
		}
		for _, d := range slices.Concat(digestsIn(e.Detail), digestsIn(e.Message)) {
			if !slices.Contains(missing, d) {
				missing = append(missing, d)
			}
		}
	}
	return missing
}

// saysMissing reports whether e is about something that the registry does not hold.
func saysMissing(e Error) bool {
	switch e.Code {
	case CodeManifestBlobUnknown, CodeBlobUnknown, CodeManifestUnknown:
		return true
	}
	for _, words := range []string{"do not exist", "does not exist", "not found"} {
		if strings.Contains(e.Message, words) || strings.Contains(e.Detail, words) {
			return true
		}
	}
	return false
}

// digestsIn finds the digests in a text, in order.
func digestsIn(text string) []digest.Digest {
	var found []digest.Digest
	for rest := text; ; {
		i := strings.Index(rest, ":")
		if i < 0 {
			return found
		}
		start, end := i, i+1
		for start > 0 && isLowerAlnum(rest[start-1]) {
			start--
		}
		for end < len(rest) && isLowerAlnum(rest[end]) {
			end++
		}
		if validDigest(rest[start:end]) {
			found = append(found, digest.Digest(rest[start:end]))
		}
		rest = rest[i+1:]
	}
}
