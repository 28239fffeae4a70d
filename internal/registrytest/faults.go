package registrytest

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// FaultKind is what goes wrong with a request.
type FaultKind int

// The faults. All but Stall and those that answer break the connection.
const (
	// Refuse breaks the connection before anything of the body is read.
	Refuse FaultKind = iota + 1000
	// ResetBefore breaks it after the body was read; the request is not handled.
	ResetBefore
	// ResetAfter breaks it after the request was handled: the reply is lost.
	ResetAfter
	// Stall reads the body and then does nothing: for Fault.Delay, after which the request is handled, or,
	// without a Delay, until the client goes away.
	Stall
	// CutBody handles the request as if the client had gone away in the middle of its body, and breaks the
	// connection. A body without Content-Length is cut after 32 KiB.
	CutBody
	// CutReply handles the request, sends the headers and half of the reply's body, and breaks the
	// connection. A reply without a body is lost.
	CutReply
	// NotHTTP answers with bytes that are no HTTP.
	NotHTTP
	// WrongDigest handles the request and answers with the digest of something else; the body of a GET
	// has one byte changed.
	WrongDigest
	// SessionGone drops the session and answers 404 BLOB_UPLOAD_UNKNOWN.
	SessionGone
	// RangeInvalid answers 416, as if the chunk were out of order. The session stays.
	RangeInvalid
	// Duplicate handles the request twice, as proxies do that send again, and answers with the second
	// reply.
	Duplicate
)

// Status is the fault of an answer with this HTTP status; the request is not handled. 500, 502 and 503
// carry no JSON, as they come from proxies; 429 and 503 carry Fault.RetryAfter; 401 carries a challenge when
// the registry has Auth.
func Status(code int) FaultKind { return FaultKind(code) }

// String returns the name of the fault: "ResetAfter", "503".
func (k FaultKind) String() string {
	names := []string{"Refuse", "ResetBefore", "ResetAfter", "Stall", "CutBody", "CutReply", "NotHTTP",
		"WrongDigest", "SessionGone", "RangeInvalid", "Duplicate"}
	if i := int(k - Refuse); i >= 0 && i < len(names) {
		return names[i]
	}
	return fmt.Sprint(int(k))
}

// Fault makes requests go wrong. Of several that match a request, the one injected first is taken.
//
// Note that net/http's Transport sends a GET or HEAD again by itself when a connection that it has used
// before breaks without a reply: such a request takes two of Times.
type Fault struct {
	// Match chooses the requests; nil is any. The entry has neither Status nor Authorized yet. It must not
	// call Inject or ClearFaults.
	Match func(Entry) bool
	// Skip is how many matching requests are spared first.
	Skip int
	// Times is how many matching requests are then hit; 0 is all.
	Times int
	// Do is what happens to them.
	Do FaultKind
	// RetryAfter is the Retry-After header of an answer; "" is none.
	RetryAfter string
	// Delay is how long it takes to happen.
	Delay time.Duration
}

// armed is a fault and how often it was met.
type armed struct {
	Fault
	met int
}

// Inject adds faults to those that are in force.
func (r *Registry) Inject(faults ...Fault) {
	r.faultMu.Lock()
	defer r.faultMu.Unlock()
	for _, f := range faults {
		r.faults = append(r.faults, &armed{Fault: f})
	}
}

// ClearFaults ends all faults. Requests under way still meet theirs.
func (r *Registry) ClearFaults() {
	r.faultMu.Lock()
	defer r.faultMu.Unlock()
	r.faults = nil
}

// fault finds the fault that hits the request, if any, and logs it.
func (r *Registry) fault(e *Entry) *Fault {
	f := r.nextFault(r.copyOf(e))
	if f != nil {
		r.mu.Lock()
		e.Fault = f.Do
		r.mu.Unlock()
	}
	return f
}

func (r *Registry) copyOf(e *Entry) Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *e
}

func (r *Registry) nextFault(e Entry) *Fault {
	r.faultMu.Lock()
	defer r.faultMu.Unlock()
	var hit *Fault
	r.faults = slices.DeleteFunc(r.faults, func(a *armed) bool {
		if hit != nil || a.Match != nil && !a.Match(e) {
			return false
		}
		a.met++
		if a.met > a.Skip {
			hit = &a.Fault
		}
		return a.Times > 0 && a.met >= a.Skip+a.Times
	})
	return hit
}

// isFaultStatus reports whether the fault is an answer with a status.
func (k FaultKind) isFaultStatus() bool {
	return k < Refuse && http.StatusText(int(k)) != ""
}
