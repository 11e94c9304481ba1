package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// ask runs the client's calls against a server of this test.
func ask(t *testing.T, to string, args ...string) answer {
	t.Helper()
	c, err := parseCalls(to, args)
	if err != nil {
		t.Fatal(err)
	}
	call, err := c.caller()
	if err != nil {
		t.Fatal(err)
	}
	return call(t.Context())
}

// listen serves on a port of this machine until the test ends.
func listen(t *testing.T, serve func(net.Listener, string) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve(l, "80") }()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// Everything that the server tells arrives, by each protocol.
func TestCalls(t *testing.T) {
	s := &server{version: "v1", pod: "echo-v1-abc"}
	web, grpc, raw := listen(t, s.serveHTTP), listen(t, s.serveGRPC), listen(t, s.serveTCP)
	for _, x := range []struct {
		url  string
		args []string
		want []string
	}{
		{"http://" + web + "/a?b=c", []string{"-H", "X-Some: thing", "-H", "Host: other", "--method=POST"},
			[]string{"Hostname=echo-v1-abc\n", "URL=/a?b=c\n", "Host=other\n", "RequestHeader=X-Some:thing\n", "Method=POST\n", "Proto=HTTP/1.1\n"}},
		{"http://" + web, []string{"--http2"}, []string{"Proto=HTTP/2.0\n"}},
		{"grpc://" + grpc, []string{"--msg=word", "-H", "x-some: thing"},
			[]string{"Hostname=echo-v1-abc\n", "StatusCode=200\n", "Echo=word\n", "RequestHeader=X-Some:thing\n"}},
		{"tcp://" + raw, []string{"--msg=word"}, []string{"Hostname=echo-v1-abc\n", "Echo=word\n", "ServiceVersion=v1\n"}},
	} {
		a := ask(t, x.url, x.args...)
		if a.Status != http.StatusOK || a.Error != "" {
			t.Errorf("%s: %+v", x.url, a)
		}
		for _, want := range x.want {
			if !strings.Contains(a.Body, want) {
				t.Errorf("%s: no %q in:\n%s", x.url, want, a.Body)
			}
		}
	}
}

// What fails says so: nobody there, another method, an answer that is not gRPC's.
func TestFailures(t *testing.T) {
	s := &server{}
	grpc := listen(t, s.serveGRPC)
	mute := listen(t, func(l net.Listener, _ string) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			c.Close()
		}
	})
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	for to, want := range map[string]string{
		"http://127.0.0.1:1":        "refused",
		"tcp://" + mute:             "",
		"http://" + grpc + "/other": "",
	} {
		if a := ask(t, to); a.Error == "" && a.Status == http.StatusOK || !strings.Contains(a.Error, want) {
			t.Errorf("%s: %+v", to, a)
		}
	}
	if a := ask(t, web.URL); a.Status != http.StatusNotFound || a.Error != "" {
		t.Errorf("%+v", a)
	}
	for _, args := range [][]string{{"ftp://x"}, {"http://x", "--unknown"}, {"http://x", "more"}} {
		if c, err := parseCalls(args[0], args[1:]); err == nil {
			if _, err := c.caller(); err == nil {
				t.Errorf("%q is taken", args)
			}
		}
	}
}

func TestFrames(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("a", 300)} {
		if got, err := unframe(frame(text)); got != text || err != nil {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	for _, b := range []string{"", "\x00\x00\x00\x00\x05\x0a", "\x01\x00\x00\x00\x00", "\x00\x00\x00\x00\x02\x0a\x05"} {
		if got, err := unframe([]byte(b)); err == nil {
			t.Errorf("%q is read as %q", b, got)
		}
	}
}

// The suite looks for lines such as these.
func TestPrint(t *testing.T) {
	c, err := parseCalls("http://echo/", []string{"-H", "A: b", "--timeout=1s"})
	if err != nil || c.timeout != time.Second {
		t.Fatal(c, err)
	}
	var out strings.Builder
	a := answer{Status: 200, Header: http.Header{"X-Set": {"1", "2"}}, Body: "Hostname=a\nURL=/\n"}
	if err := c.print(&out, 3, a); err != nil {
		t.Fatal(err)
	}
	const want = "[3] Url=http://echo/\n[3] Header=A:b\n[3] StatusCode=200\n[3] ResponseHeader=X-Set:1,2\n[3 body] Hostname=a\n[3 body] URL=/\n\n"
	if out.String() != want {
		t.Errorf("%q", out.String())
	}
}
