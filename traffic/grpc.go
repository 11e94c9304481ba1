package traffic

import "github.com/weft-mesh/weft/decision"

// The gRPC status codes that a mesh itself has reason to send (grpc/grpc doc/statuscodes.md).
const (
	codeUnknown          = 2
	codeDeadlineExceeded = 4
	codePermissionDenied = 7
	codeUnimplemented    = 12
	codeInternal         = 13
	codeUnavailable      = 14
	codeUnauthenticated  = 16
)

// grpcCode is the code for an HTTP status (grpc/grpc doc/http-grpc-status-mapping.md: 400, 401, 403, 404, then 429, 502, 503
// and 504 as UNAVAILABLE, all else UNKNOWN), but where the reason says more: a deadline that passed is DEADLINE_EXCEEDED, and a
// rule without a backend is UNAVAILABLE (Gateway API, GRPCRouteRule.backendRefs).
func grpcCode(status int, why decision.Reason) int {
	switch why {
	case decision.TimedOut:
		return codeDeadlineExceeded
	case decision.NoBackend:
		return codeUnavailable
	}
	switch status {
	case 400:
		return codeInternal
	case 401:
		return codeUnauthenticated
	case 403:
		return codePermissionDenied
	case 404:
		return codeUnimplemented
	case 429, 502, 503, 504:
		return codeUnavailable
	}
	return codeUnknown
}

// HTTPStatus is the status for a gRPC code (googleapis google/rpc/code.proto); 500 for what is no code.
func HTTPStatus(code int) int {
	table := [...]int{200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401}
	if code < 0 || code >= len(table) {
		return 500
	}
	return table[code]
}

// serverFault: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and DATA_LOSS. RESOURCE_EXHAUSTED is not among them, as 429 is
// not among the failures of HTTP.
func serverFault(code string) bool {
	switch code {
	case "2", "4", "13", "14", "15":
		return true
	}
	return false
}
