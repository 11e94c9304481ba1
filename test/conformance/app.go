package main

import (
	"io"
	"net"
	"net/http"
	"time"
)

// serve is the application that the suites' requests end at: it takes a body and answers with a short one, in HTTP/1.1 and HTTP/2.
func serve(at string) error {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Protocols: p, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "an answer of the application\n")
	})}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	return s.Serve(l)
}
