package grpc

import "strconv"

// Code is a status code (statuscodes.md).
type Code uint32

const (
	OK                 Code = 0
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Aborted            Code = 10
	OutOfRange         Code = 11
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
	DataLoss           Code = 15
	Unauthenticated    Code = 16
)

var names = [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
	"UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

func (c Code) String() string {
	if int(c) < len(names) {
		return names[c]
	}
	return "CODE(" + strconv.FormatUint(uint64(c), 10) + ")"
}

// ParseCode reads a grpc-status: decimal, without sign or leading zeros (but for "0"). Codes that this package has no name
// for are read too; clients "SHOULD" treat them as UNKNOWN.
func ParseCode(s string) (Code, bool) {
	if s == "" || len(s) > 9 || len(s) > 1 && s[0] == '0' {
		return Unknown, false
	}
	n := Code(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return Unknown, false
		}
		n = n*10 + Code(s[i]-'0')
	}
	return n, true
}

// AppendCode writes a grpc-status.
func AppendCode(b []byte, c Code) []byte { return strconv.AppendUint(b, uint64(c), 10) }

// FromHTTP is the code that a client must assume for an HTTP status without a grpc-status (http-grpc-status-mapping.md).
func FromHTTP(status int) Code {
	switch status {
	case 400:
		return Internal
	case 401:
		return Unauthenticated
	case 403:
		return PermissionDenied
	case 404:
		return Unimplemented
	case 429, 502, 503, 504:
		return Unavailable
	}
	return Unknown
}

// FromReset is the code that stands for an HTTP/2 error code in RST_STREAM (PROTOCOL-HTTP2.md, "Errors").
func FromReset(code uint32) Code {
	switch code {
	case 7: // REFUSED_STREAM
		return Unavailable
	case 8: // CANCEL
		return Canceled
	case 11: // ENHANCE_YOUR_CALM
		return ResourceExhausted
	case 12: // INADEQUATE_SECURITY
		return PermissionDenied
	}
	return Internal
}
