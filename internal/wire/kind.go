package wire

import "net/http"

// Kind is an endpoint of the distribution specification. The zero value is no endpoint.
type Kind int

// The endpoints of the distribution specification.
const (
	Ping           Kind = iota + 1 // end-1   GET /v2/
	BlobGet                        // end-2   GET blob
	BlobHead                       // end-2   HEAD blob
	BlobDelete                     // end-10  DELETE blob
	ManifestGet                    // end-3   GET manifest by tag or digest
	ManifestHead                   // end-3   HEAD manifest by tag or digest
	ManifestPut                    // end-7   PUT manifest, with repeated tag= when by digest
	ManifestDelete                 // end-9   DELETE manifest by tag or digest
	UploadStart                    // end-4a  POST uploads/, optional digest-algorithm= (end-4c)
	UploadSingle                   // end-4b  POST uploads/?digest= with the body
	Mount                          // end-11  POST uploads/?mount=[&from=]
	UploadChunk                    // end-5   PATCH session
	UploadFinish                   // end-6   PUT session?digest=
	UploadStatus                   // end-13  GET session
	UploadCancel                   // end-14  DELETE session
	TagList                        // end-8a, end-8b  GET tags/list ?n=&last=
	Referrers                      // end-12a, end-12b  GET referrers ?artifactType=
)

// String returns the name of the endpoint in lower case, for logs and test output: "blob-get", "mount".
func (k Kind) String() string {
	switch k {
	case Ping:
		return "ping"
	case BlobGet:
		return "blob-get"
	case BlobHead:
		return "blob-head"
	case BlobDelete:
		return "blob-delete"
	case ManifestGet:
		return "manifest-get"
	case ManifestHead:
		return "manifest-head"
	case ManifestPut:
		return "manifest-put"
	case ManifestDelete:
		return "manifest-delete"
	case UploadStart:
		return "upload-start"
	case UploadSingle:
		return "upload-single"
	case Mount:
		return "mount"
	case UploadChunk:
		return "upload-chunk"
	case UploadFinish:
		return "upload-finish"
	case UploadStatus:
		return "upload-status"
	case UploadCancel:
		return "upload-cancel"
	case TagList:
		return "tag-list"
	case Referrers:
		return "referrers"
	}
	return "unknown"
}

// method returns the HTTP method of the endpoint, "" for the zero Kind.
func (k Kind) method() string {
	switch k {
	case Ping, BlobGet, ManifestGet, UploadStatus, TagList, Referrers:
		return http.MethodGet
	case BlobHead, ManifestHead:
		return http.MethodHead
	case BlobDelete, ManifestDelete, UploadCancel:
		return http.MethodDelete
	case ManifestPut, UploadFinish:
		return http.MethodPut
	case UploadStart, UploadSingle, Mount:
		return http.MethodPost
	case UploadChunk:
		return http.MethodPatch
	}
	return ""
}
