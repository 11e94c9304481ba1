package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// outcome is what a caller tells of a call that it made.
type outcome struct {
	Status int         `json:"status,omitempty"` // 0: no answer
	Header http.Header `json:"header,omitempty"`
	Body   string      `json:"body,omitempty"`
	Error  string      `json:"error,omitempty"` // why there is no answer
}

const (
	callTimeout = 15 * time.Second
	callBody    = 1 << 20
	passOn      = "X-Call-" // headers with this prefix go on without it
)

// newCaller makes calls that it is asked for, so that a test on the machine can see what a workload sees:
// /http?url=http://reviews:9080/reviews/1 and /tcp?addr=database:5432&send=text.
func newCaller(setup) (http.Handler, error) {
	client := &http.Client{Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy("Caller is healthy"))
	mux.HandleFunc("/http", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, callHTTP(client, r))
	})
	mux.HandleFunc("GET /tcp", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, callTCP(r.Context(), r.URL.Query()))
	})
	return mux, nil
}

func callHTTP(client *http.Client, r *http.Request) (out outcome) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.Query().Get("url"), r.Body)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	req.ContentLength = r.ContentLength
	for name, values := range r.Header {
		if name, ok := strings.CutPrefix(name, passOn); ok {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, callBody))
	out = outcome{Status: resp.StatusCode, Header: resp.Header, Body: string(b)}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

// callTCP sends text and returns what has come back when the other side has nothing more to say.
func callTCP(ctx context.Context, q url.Values) outcome {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", q.Get("addr"))
	if err != nil {
		return outcome{Error: err.Error()}
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(callTimeout))
	if _, err := io.WriteString(c, q.Get("send")); err != nil {
		return outcome{Error: err.Error()}
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	b, err := io.ReadAll(io.LimitReader(c, callBody))
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%s closed the connection without a byte", q.Get("addr"))
	}
	if err != nil {
		return outcome{Body: string(b), Error: err.Error()}
	}
	return outcome{Status: http.StatusOK, Body: string(b)}
}
