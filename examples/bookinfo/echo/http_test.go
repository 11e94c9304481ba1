package echo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// eachHTTP runs a test over both versions.
func eachHTTP(t *testing.T, test func(t *testing.T, client *http.Client, url, proto string)) {
	s := start(t, Options{})
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(proto, func(t *testing.T) { test(t, httpClient(t, h2), "http://"+s.HTTP.Addr().String(), proto) })
	}
}

func TestAnswerTellsTheRequestAsItArrived(t *testing.T) {
	eachHTTP(t, func(t *testing.T, client *http.Client, url, proto string) {
		r, err := http.NewRequest("PUT", url+"/a//b/../%2Fc?x=1&y=%20&x=2", strings.NewReader("hello"))
		must(t, err)
		r.Host = "backend:9080"
		r.Header["X-Many"] = []string{"1", "2"}
		resp, err := client.Do(r)
		must(t, err)
		defer resp.Body.Close()
		var a Answer
		must(t, json.NewDecoder(resp.Body).Decode(&a))
		if a.Headers["X-Many"][1] != "2" || a.Remote == "" {
			t.Errorf("headers are %v, remote %q", a.Headers, a.Remote)
		}
		a.Headers, a.Remote = nil, ""
		want := Answer{
			Service: "backend", Version: "v2", Instance: "backend-1", Proto: proto, Method: "PUT",
			Target: "/a//b/../%2Fc?x=1&y=%20&x=2", Path: "/a//b/../%2Fc", Query: "x=1&y=%20&x=2",
			Host: "backend:9080", Body: "hello", BodyBytes: 5,
		}
		if fmt.Sprint(a) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", a, want)
		}
		if got := resp.Header.Get("X-Bookinfo-Instance"); got != "backend-1" {
			t.Errorf("answered by %q", got)
		}
	})
}

func TestAnswerShowsTheBeginningOfALongBody(t *testing.T) {
	eachHTTP(t, func(t *testing.T, client *http.Client, url, _ string) {
		for _, size := range []int{shownBody - 1, shownBody, shownBody + 1, 3 * shownBody} {
			resp, err := client.Post(url, "text/plain", strings.NewReader(strings.Repeat("x", size)))
			must(t, err)
			var a Answer
			must(t, json.NewDecoder(resp.Body).Decode(&a))
			resp.Body.Close()
			if a.BodyBytes != int64(size) || len(a.Body) != min(size, shownBody) {
				t.Errorf("%d bytes: %d counted, %d shown", size, a.BodyBytes, len(a.Body))
			}
		}
	})
}

func TestSpecialPaths(t *testing.T) {
	eachHTTP(t, func(t *testing.T, client *http.Client, url, _ string) {
		for _, c := range []struct {
			path   string
			status int
			body   string // a part of it
			length int    // -1: any
		}{
			{"/health", 200, "backend is healthy", -1},
			{"/status/200", 200, `"target": "/status/200"`, -1},
			{"/status/503", 503, `"target": "/status/503"`, -1},
			{"/status/599", 599, "", -1},
			{"/status/204", 204, "", 0},
			{"/status/304", 304, "", 0},
			{"/status/101", 400, "want a final status", -1},
			{"/status/600", 400, "want a final status", -1},
			{"/status/x", 400, "want a final status", -1},
			{"/bytes?n=0", 200, "", 0},
			{"/bytes?n=17", 200, "0123456789abcdef0", 17},
			{"/bytes?n=200000", 200, "", 200000},
			{"/bytes?n=200000&chunked=true", 200, "", 200000},
			{"/bytes?n=-1", 400, "want n", -1},
			{"/bytes?n=1073741825", 400, "want n", -1},
			{"/bytes", 400, "want n", -1},
			{"/delay?ms=0", 200, `"path": "/delay"`, -1},
			{"/delay?ms=1", 200, `"path": "/delay"`, -1},
			{"/delay?ms=-1", 400, "want ms", -1},
			{"/delay?ms=60001", 400, "want ms", -1},
			{"/delay", 400, "want ms", -1},
		} {
			resp, err := client.Get(url + c.path)
			must(t, err)
			body, err := io.ReadAll(resp.Body)
			must(t, err)
			resp.Body.Close()
			if resp.StatusCode != c.status || !strings.Contains(string(body), c.body) || c.length >= 0 && len(body) != c.length {
				t.Errorf("%s: %d and %d bytes: %.100s", c.path, resp.StatusCode, len(body), body)
			}
			if chunked := strings.Contains(c.path, "chunked"); c.status == 200 && c.length > 0 && (resp.ContentLength < 0) != chunked {
				t.Errorf("%s: content length %d", c.path, resp.ContentLength)
			}
		}
	})
}

func TestAbortGivesNoAnswer(t *testing.T) {
	eachHTTP(t, func(t *testing.T, client *http.Client, url, _ string) {
		if resp, err := client.Get(url + "/abort"); err == nil {
			t.Errorf("got %s", resp.Status)
		}
	})
}

// RFC 9110 section 6.5: trailers come after the content.
func TestBodyStreamsBackWithTrailers(t *testing.T) {
	eachHTTP(t, func(t *testing.T, client *http.Client, url, _ string) {
		body, writer := io.Pipe()
		r, err := http.NewRequest("POST", url+"/echo", body)
		must(t, err)
		r.Header.Set("Content-Type", "text/x-test")
		r.Trailer = http.Header{"X-Sum": nil}
		answered := make(chan *http.Response)
		go func() {
			resp, err := client.Do(r)
			if err != nil {
				t.Error(err)
			}
			answered <- resp
		}()
		io.WriteString(writer, "one")
		resp := <-answered // before the request has ended
		defer resp.Body.Close()
		back := make([]byte, 3)
		_, err = io.ReadFull(resp.Body, back)
		must(t, err)
		if got := exchange(t, writer, resp.Body, "two"); string(back) != "one" || got != "two" {
			t.Errorf("got %q, %q", back, got)
		}
		r.Trailer.Set("X-Sum", "6")
		writer.Close()
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
			t.Errorf("then %q, %v", rest, err)
		}
		if resp.Trailer.Get("X-Sum") != "6" || resp.Header.Get("Content-Type") != "text/x-test" {
			t.Errorf("trailers %v, headers %v", resp.Trailer, resp.Header)
		}
	})
}

func TestBrokenOffRequestIsNotAnsweredWell(t *testing.T) {
	s := start(t, Options{})
	conn := dial(t, s.HTTP.Addr())
	fmt.Fprint(conn, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	conn.CloseWrite()
	if _, err := io.ReadAll(resp.Body); err != io.ErrUnexpectedEOF {
		t.Errorf("answer ended with %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

func TestFaultFileBreaksAndHealsARunningInstance(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fault")
	s := start(t, Options{FaultFile: file})
	url, client := "http://"+s.HTTP.Addr().String(), httpClient(t, false)
	status := func(path string) int {
		resp, err := client.Get(url + path)
		must(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, c := range []struct {
		text string
		want int
	}{{"", 503}, {"500\n", 500}, {"429", 429}, {"nonsense", 503}, {"99", 503}} {
		must(t, os.WriteFile(file, []byte(c.text), 0o600))
		if got := status("/x"); got != c.want {
			t.Errorf("with %q: %d, want %d", c.text, got, c.want)
		}
		if got := status("/health"); got != 200 {
			t.Errorf("with %q: health %d", c.text, got)
		}
	}
	must(t, os.Remove(file))
	if got := status("/x"); got != 200 {
		t.Errorf("healed: %d", got)
	}
}
