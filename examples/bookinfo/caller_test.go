package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func called(t *testing.T, h http.Handler, target string, header map[string]string) (out outcome) {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	h.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err, w.Body.String())
	}
	return out
}

func TestCallerTellsWhatItGot(t *testing.T) {
	h, err := newCaller(setup{})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("saw", r.Header.Get("end-user"))
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	defer s.Close()
	got := called(t, h, "/http?url="+url.QueryEscape(s.URL+"/a"), map[string]string{"x-call-end-user": "jason"})
	if got.Status != http.StatusTeapot || got.Body != "/a" || got.Header.Get("saw") != "jason" {
		t.Errorf("%+v", got)
	}
	if got := called(t, h, "/http?url="+url.QueryEscape("http://127.0.0.1:1/"), nil); got.Status != 0 || got.Error == "" {
		t.Errorf("no answer is told as %+v", got)
	}
}

func TestCallerSpeaksTCP(t *testing.T) {
	h, err := newCaller(setup{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c)
			_, _ = io.WriteString(c, strings.ToUpper(string(b)))
			c.Close()
		}
	}()
	at := url.QueryEscape(l.Addr().String())
	if got := called(t, h, "/tcp?send=hello&addr="+at, nil); got.Body != "HELLO" || got.Error != "" {
		t.Errorf("%+v", got)
	}
	if got := called(t, h, "/tcp?addr="+at, nil); got.Error == "" {
		t.Errorf("a connection that gave nothing is told as %+v", got)
	}
}
