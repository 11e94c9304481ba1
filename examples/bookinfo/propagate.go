package main

import "net/http"

// traceHeaders tie the calls of one request together for whoever records them.
var traceHeaders = []string{
	"X-Request-Id",
	"X-Ot-Span-Context",                                                        // Lightstep
	"X-Datadog-Trace-Id", "X-Datadog-Parent-Id", "X-Datadog-Sampling-Priority", // Datadog
	"Traceparent", "Tracestate", // W3C Trace Context
	"X-Cloud-Trace-Context",                                                                // Google Cloud
	"Grpc-Trace-Bin",                                                                       // OpenCensus
	"B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", // Zipkin
	"Sw8", // SkyWalking
}

// callerHeaders say who the caller is.
var callerHeaders = []string{"User-Agent", "Cookie", "Authorization", "Jwt"}

// endUser names the person who is logged in; routing rules match on it. productpage sets it from the session, reviews
// hands it on.
const endUser = "End-User"

// propagate returns the named headers of in, where present, with all their values.
func propagate(in http.Header, lists ...[]string) http.Header {
	out := make(http.Header)
	for _, names := range lists {
		for _, name := range names {
			if values := in[name]; len(values) > 0 {
				out[name] = values
			}
		}
	}
	return out
}
