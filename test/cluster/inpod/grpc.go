package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// The one method that the suite calls: Istio's proto.EchoTestService/Echo, whose request and response have a string as field 1. That much
// of gRPC (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md) is HTTP/2 with a frame around each message, and a status in the
// trailers.
const (
	echoMethod  = "/proto.EchoTestService/Echo"
	grpcContent = "application/grpc"
)

// frame is a message of one string, not compressed.
func frame(text string) []byte {
	message := binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(text)))
	message = append(message, text...)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// unframe passes over fields that it does not know.
func unframe(b []byte) (string, error) {
	if len(b) < 5 || b[0] != 0 || int(binary.BigEndian.Uint32(b[1:5])) != len(b)-5 {
		return "", fmt.Errorf("%d bytes are not one gRPC message without compression", len(b))
	}
	text := ""
	for b = b[5:]; len(b) > 0; {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			return "", errors.New("a field of the message has no number")
		}
		b = b[n:]
		value, n := binary.Uvarint(b)
		if n <= 0 {
			return "", errors.New("a field of the message has no value")
		}
		b = b[n:]
		switch key & 7 {
		case 0:
		case 2:
			if value > uint64(len(b)) {
				return "", errors.New("a field of the message is longer than the message")
			}
			if key>>3 == 1 {
				text = string(b[:value])
			}
			b = b[value:]
		default:
			return "", fmt.Errorf("a field of the message is of wire type %d", key&7)
		}
	}
	return text, nil
}

// unary calls the method, or the one that the URL's path names, whose messages are alike.
func (c *calls) unary(ctx context.Context, h *http.Client) answer {
	u := &url.URL{Scheme: "http", Host: c.url.Host, Path: cmp.Or(c.url.Path, echoMethod)}
	req, err := c.request(ctx, http.MethodPost, u, bytes.NewReader(frame(c.message)))
	if err != nil {
		return answer{Error: err.Error()}
	}
	req.Header.Set("Content-Type", grpcContent)
	req.Header.Set("Te", "trailers")
	resp, err := h.Do(req)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return answer{Error: err.Error()}
	}
	if why := grpcFailure(resp); why != "" {
		return answer{Header: resp.Header, Error: why}
	}
	text, err := unframe(b)
	if err != nil {
		return answer{Header: resp.Header, Error: err.Error()}
	}
	return answer{Status: http.StatusOK, Header: resp.Header, Body: text}
}

// grpcFailure is empty for status 0. Without a message the status comes in the headers.
func grpcFailure(resp *http.Response) string {
	status, message := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
	if status == "" {
		status, message = resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return "HTTP status " + resp.Status
	case status == "":
		return "no gRPC status"
	case status != "0":
		return "gRPC status " + status + ": " + message
	}
	return ""
}

// serveGRPC answers the method with what tell tells of the call.
func serveGRPC(w http.ResponseWriter, r *http.Request, tell func(*http.Request) string) {
	w.Header().Set("Content-Type", grpcContent)
	status, message := "0", ""
	switch b, err := io.ReadAll(io.LimitReader(r.Body, maxBody)); {
	case err != nil:
		return // and so no status, which is that the stream broke
	case !strings.HasPrefix(r.Header.Get("Content-Type"), grpcContent):
		http.Error(w, "not gRPC", http.StatusUnsupportedMediaType)
		return
	case r.URL.Path != echoMethod:
		status, message = "12", "unknown method "+r.URL.Path // UNIMPLEMENTED
	default:
		text, err := unframe(b)
		if err != nil {
			status, message = "13", err.Error() // INTERNAL
			break
		}
		if _, err := w.Write(frame(tell(r) + "Echo=" + text + "\n")); err != nil {
			return
		}
	}
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
	if message != "" {
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", message)
	}
}
