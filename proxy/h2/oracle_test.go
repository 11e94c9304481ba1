package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/weft-mesh/weft/traffic"
)

// forward is a proxy's serve function: each call goes on through the client that to returns.
func forward(to func() *Client) func(*Stream) {
	return func(st *Stream) {
		c := st.Call()
		if err := to().RoundTrip(c); err != nil {
			c.Response.Status = 502
			c.Response.Header.Set("x-error", err.Error())
			if errors.Is(err, traffic.ErrDeadline) {
				c.Response.Status = 504
			}
			if c.Proto == traffic.GRPC {
				c.Response.Status = 200
				c.Response.Header.Set("content-type", "application/grpc")
				c.Response.Header.Set("grpc-status", "14")
			}
		}
		st.Respond()
		c.Finish(time.Time{})
	}
}

// oracleServer serves h with x/net's server.
func oracleServer(t testing.TB, h http.Handler) *Client {
	t.Helper()
	c, s := tcpPair(t)
	var wg sync.WaitGroup
	wg.Go(func() { (&http2.Server{}).ServeConn(s, &http2.ServeConnOpts{Handler: h}) })
	cl := NewClient(c, ClientOptions{})
	t.Cleanup(func() {
		cl.Close()
		<-cl.Done()
		wg.Wait()
	})
	return cl
}

// oracleClient is x/net's client of a Server that serves with serve.
func oracleClient(t testing.TB, o ServerOptions, serve func(*Stream)) *http.Client {
	t.Helper()
	c, s := tcpPair(t)
	srv := NewServer(s, o, serve)
	done := make(chan error)
	go func() { done <- srv.Serve() }()
	tr := &http2.Transport{AllowHTTP: true, DisableCompression: true,
		DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) { return c, nil }}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		srv.Close()
		<-done
		c.Close()
	})
	return &http.Client{Transport: tr}
}

// oracles is x/net's client before our Server and Client before x/net's server.
func oracles(t testing.TB, h http.Handler) *http.Client {
	noLeaks(t)
	cl := oracleServer(t, h)
	return oracleClient(t, ServerOptions{}, forward(func() *Client { return cl }))
}

func TestThroughOracles(t *testing.T) {
	hc := oracles(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("trailer", "x-sum")
		w.Header().Set("x-saw", fmt.Sprint(r.Method, r.Host, r.URL.Path, r.URL.RawQuery, r.ContentLength, r.Header["X-Multi"], r.Header.Get("cookie"), r.Trailer.Get("x-up")))
		if r.Method == "POST" {
			w.WriteHeader(201)
		}
		w.Write(b)
		w.Header().Set("x-sum", fmt.Sprint(len(b)))
	}))
	for _, c := range []struct {
		method, body string
		length       int64
		status       int
	}{{"GET", "", 0, 200}, {"POST", "hello", 5, 201}, {"POST", strings.Repeat("abc", 1<<20), -1, 201}, {"PUT", "", 0, 200}, {"HEAD", "", 0, 200}, {"DELETE", "x", 1, 200}} {
		var body io.Reader
		if c.body != "" {
			body = io.MultiReader(strings.NewReader(c.body)) // no length
		}
		req, _ := http.NewRequest(c.method, "http://svc.example:8080/a%20b/c?x=1&y", body)
		req.ContentLength = c.length
		req.Header["X-Multi"] = []string{"1", "2"}
		req.AddCookie(&http.Cookie{Name: "a", Value: "1"})
		req.AddCookie(&http.Cookie{Name: "b", Value: "2"})
		if body != nil {
			req.Trailer = http.Header{"X-Up": {"up"}}
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", c.method, err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != c.body || resp.StatusCode != c.status {
			t.Errorf("%s: %d, %d bytes, %v", c.method, resp.StatusCode, len(got), err)
		}
		up := ""
		if body != nil {
			up = "up"
		}
		want := fmt.Sprint(c.method, "svc.example:8080", "/a b/c", "x=1&y", c.length, []string{"1", "2"}, "a=1; b=2", up)
		if c.method == "GET" || c.method == "HEAD" || c.method == "PUT" {
			want = fmt.Sprint(c.method, "svc.example:8080", "/a b/c", "x=1&y", 0, []string{"1", "2"}, "a=1; b=2", up)
		}
		if saw := resp.Header.Get("x-saw"); saw != want {
			t.Errorf("%s: the server saw %s\nwant %s", c.method, saw, want)
		}
		if sum := resp.Trailer.Get("x-sum"); sum != fmt.Sprint(len(c.body)) && c.method != "HEAD" {
			t.Errorf("%s: trailer %q", c.method, sum)
		}
		resp.Body.Close()
	}
}

// TestInterim passes 103 on.
func TestInterim(t *testing.T) {
	hc := oracles(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("link", "</style.css>")
		w.WriteHeader(103)
		w.WriteHeader(200)
	}))
	var seen []string
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		seen = append(seen, fmt.Sprint(code, h.Get("link")))
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://a/", nil)
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := fmt.Sprint(seen); got != "[103</style.css>]" || resp.StatusCode != 200 {
		t.Errorf("interim responses %v, then %d", got, resp.StatusCode)
	}
}

// TestCancel: a caller that leaves is passed on, whether it waits for the head or reads the body.
func TestCancel(t *testing.T) {
	started, ended := make(chan bool, 1), make(chan error, 1)
	hc := oracles(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		}
		started <- true
		<-r.Context().Done()
		ended <- r.Context().Err()
	}))
	for _, path := range []string{"/head", "/body"} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://a"+path, nil)
		if path == "/head" {
			go func() { <-started; cancel() }()
		}
		resp, err := hc.Do(req)
		if path == "/body" {
			if err != nil {
				t.Fatal(err)
			}
			<-started
			cancel()
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
		<-ended
	}
}

// TestServerBreaksOff: a reset after the head reaches the caller as one, not as the end of the body.
func TestServerBreaksOff(t *testing.T) {
	hc := oracles(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("begin"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	resp, err := hc.Get("http://a/")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	var se http2.StreamError
	if err == nil || !errors.As(err, &se) {
		t.Errorf("%q %v", b, err)
	}
}

// TestEarlyResponse: the answer does not wait for a body that the server does not read.
func TestEarlyResponse(t *testing.T) {
	hc := oracles(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(413)
		io.WriteString(w, "too large")
	}))
	pr, pw := io.Pipe()
	go func() {
		for {
			if _, err := pw.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}()
	resp, err := hc.Post("http://a/", "text/plain", pr)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 413 || string(b) != "too large" || err != nil {
		t.Errorf("%d %q %v", resp.StatusCode, b, err)
	}
	resp.Body.Close()
	pr.Close()
}

// TestConcurrentThroughOracles: many callers, bodies of all sizes both ways.
func TestConcurrentThroughOracles(t *testing.T) {
	hc := oracles(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for j := range 10 {
				want := strings.Repeat(fmt.Sprintf("%02d", i), 1+i*i*j*10)
				resp, err := hc.Post("http://a/", "text/plain", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				if string(got) != want || err != nil {
					t.Errorf("%d.%d: %d bytes, want %d, %v", i, j, len(got), len(want), err)
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
}
