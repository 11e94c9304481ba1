package echo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

const (
	shownBody = 64 << 10 // of a body in an Answer
	maxBytes  = 1 << 30  // of /bytes
	maxDelay  = time.Minute
)

// Answer is what every path without a meaning of its own is answered with: the request as it arrived.
type Answer struct {
	Service   string      `json:"service"`
	Version   string      `json:"version"`
	Instance  string      `json:"instance"`
	Proto     string      `json:"proto"` // HTTP/1.1 or HTTP/2.0
	Method    string      `json:"method"`
	Target    string      `json:"target"` // the request target, byte for byte
	Path      string      `json:"path"`   // still escaped
	Query     string      `json:"query"`  // without its question mark
	Host      string      `json:"host"`
	Headers   http.Header `json:"headers"` // without Host
	Trailers  http.Header `json:"trailers,omitempty"`
	Remote    string      `json:"remote"`
	Body      string      `json:"body,omitempty"` // its first 64 KiB
	BodyBytes int64       `json:"bodyBytes"`
}

type handler struct {
	instance serve.Instance
	upgraded *serve.Conns
}

// Handler answers HTTP; connections upgraded to WebSocket are kept in upgraded. Paths are taken as they come, without
// the cleaning and redirects of http.ServeMux, so that a caller sees what a proxy made of them.
func Handler(instance serve.Instance, upgraded *serve.Conns) http.Handler {
	return &handler{instance, upgraded}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/health":
		io.WriteString(w, h.instance.Service+" is healthy\n")
	case path == "/echo":
		streamBack(w, r)
	case path == "/bytes":
		sendBytes(w, r)
	case path == "/delay":
		h.delay(w, r)
	case path == "/abort":
		panic(http.ErrAbortHandler) // resets the connection or stream, without a line in the log
	case path == "/ws":
		h.webSocket(w, r)
	case strings.HasPrefix(path, "/status/"):
		h.status(w, r, strings.TrimPrefix(path, "/status/"))
	default:
		h.describe(w, r, http.StatusOK)
	}
}

func (h *handler) describe(w http.ResponseWriter, r *http.Request, status int) {
	body, n, err := readShown(r.Body)
	if err != nil {
		http.Error(w, "read the request's body: "+err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	enc.Encode(Answer{
		Service: h.instance.Service, Version: h.instance.Version, Instance: h.instance.Name,
		Proto: r.Proto, Method: r.Method, Target: r.RequestURI, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Host: r.Host, Headers: r.Header, Trailers: r.Trailer, Remote: r.RemoteAddr,
		Body: body, BodyBytes: n,
	})
}

// readShown reads all of body and returns its beginning and its length.
func readShown(body io.Reader) (string, int64, error) {
	var begin strings.Builder
	n, err := io.CopyN(&begin, body, shownBody)
	if err == io.EOF {
		return begin.String(), n, nil
	}
	if err != nil {
		return "", n, err
	}
	rest, err := io.Copy(io.Discard, body)
	return begin.String(), n + rest, err
}

func (h *handler) status(w http.ResponseWriter, r *http.Request, code string) {
	status, err := strconv.Atoi(code)
	if err != nil || status < 200 || status > 599 {
		http.Error(w, fmt.Sprintf("/status/%s: want a final status from 200 to 599", code), http.StatusBadRequest)
		return
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		w.WriteHeader(status) // RFC 9110 sections 15.3.5 and 15.4.5: no content
		return
	}
	h.describe(w, r, status)
}

func (h *handler) delay(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	wait := time.Duration(ms) * time.Millisecond
	if err != nil || wait < 0 || wait > maxDelay {
		http.Error(w, fmt.Sprintf("/delay: want ms from 0 to %d", maxDelay.Milliseconds()), http.StatusBadRequest)
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		h.describe(w, r, http.StatusOK)
	case <-r.Context().Done(): // the caller is gone
	}
}

// streamBack sends the body back as it comes, a part at a time, and the request's trailers as the answer's.
func streamBack(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.EnableFullDuplex() // HTTP/2 is so anyway, and says that it doesn't know the call
	if t := r.Header.Get("Content-Type"); t != "" {
		w.Header().Set("Content-Type", t)
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			w.Write(buf[:n])
			control.Flush()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(http.ErrAbortHandler) // an answer that ended well would hide that the request didn't
		}
	}
	for name, values := range r.Trailer {
		w.Header()[http.TrailerPrefix+name] = values
	}
}

// sendBytes sends n bytes of a fixed pattern; with chunked=true without saying beforehand how many.
func sendBytes(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n, err := strconv.ParseInt(q.Get("n"), 10, 64)
	if err != nil || n < 0 || n > maxBytes {
		http.Error(w, fmt.Sprintf("/bytes: want n from 0 to %d", maxBytes), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if q.Get("chunked") == "true" {
		http.NewResponseController(w).Flush()
	} else {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	for n > 0 {
		part := pattern[:min(n, int64(len(pattern)))]
		if _, err := w.Write(part); err != nil {
			return
		}
		n -= int64(len(part))
	}
}

// pattern is what /bytes repeats: 64 KiB, a multiple of the alphabet's length so that every byte follows from its offset.
var pattern = []byte(strings.Repeat("0123456789abcdef", 4096))
