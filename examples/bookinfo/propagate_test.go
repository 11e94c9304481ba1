package main

import (
	"net/http"
	"slices"
	"testing"
)

var sent = http.Header{
	"X-Request-Id": {"r-1"}, "X-Ot-Span-Context": {"ot"},
	"X-Datadog-Trace-Id": {"1"}, "X-Datadog-Parent-Id": {"2"}, "X-Datadog-Sampling-Priority": {"1"},
	"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Tracestate": {"a=1", "b=2"},
	"X-Cloud-Trace-Context": {"105445aa7843bc8bf206b12000100000/1;o=1"}, "Grpc-Trace-Bin": {"AAA"},
	"B3": {"80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"}, "X-B3-Traceid": {"80f198ee56343ba8"},
	"X-B3-Spanid": {"e457b5a2e4d86bd1"}, "X-B3-Parentspanid": {"05e3ac9a4f6e3b90"}, "X-B3-Sampled": {"1"}, "X-B3-Flags": {"0"},
	"Sw8": {"1-a-b"}, "User-Agent": {"test"}, "Cookie": {"a=b"}, "Authorization": {"Bearer x"}, "Jwt": {"y"},
}

func send(t *testing.T, url string, header http.Header) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
}

func wantHeaders(t *testing.T, got *http.Request, want http.Header) {
	t.Helper()
	for name, values := range want {
		if !slices.Equal(got.Header[name], values) {
			t.Errorf("%s %s: %s is %q, want %q", got.Method, got.URL, name, got.Header[name], values)
		}
	}
}

func TestHeadersGoAllTheWay(t *testing.T) {
	ratings, asked := startRecorder(t, 200, `{"id":0,"ratings":{"Reviewer1":5,"Reviewer2":4}}`)
	reviews := startService(t, "reviews", "v3", settings{}.with("ratings", ratings))
	details := startService(t, "details", "v1", settings{})
	page := startService(t, "productpage", "v1", settings{}.with("reviews", reviews).with("details", details).with("ratings", ratings))

	for _, path := range []string{"/productpage", "/api/v1/products/0/reviews", "/api/v1/products/0/ratings"} {
		send(t, page.URL+path, sent)
		wantHeaders(t, <-asked, sent)
	}
}

func TestOtherHeadersStay(t *testing.T) {
	details, asked := startRecorder(t, 200, `{}`)
	page := startService(t, "productpage", "v1", settings{}.with("details", details))
	header := sent.Clone()
	header.Set("X-Other", "1")
	header.Set("End-User", "mallory") // only the session says who it is
	send(t, page.URL+"/api/v1/products/0", header)
	wantHeaders(t, <-asked, http.Header{"X-Other": nil, "End-User": nil, "X-Request-Id": {"r-1"}})
}

func TestReviewsHandsEndUserOn(t *testing.T) {
	ratings, asked := startRecorder(t, 200, `{}`)
	reviews := startService(t, "reviews", "v2", settings{}.with("ratings", ratings))
	send(t, reviews.URL+"/reviews/0", http.Header{"End-User": {"jason"}})
	wantHeaders(t, <-asked, http.Header{"End-User": {"jason"}})
}

func TestNobodyOutsideLearnsWhoTheCallerIs(t *testing.T) {
	books, asked := startRecorder(t, 200, `{"items":[{}]}`)
	details := startService(t, "details", "v2", settings{"BOOK_SERVICE_URL": books.URL})
	send(t, details.URL+"/details/0", sent)
	wantHeaders(t, <-asked, http.Header{"Cookie": nil, "Authorization": nil, "Jwt": nil, "Traceparent": sent["Traceparent"]})
}
