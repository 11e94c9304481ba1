package h2

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weft-mesh/weft/wire/http2"
)

// script is a peer that says what it was told and leaves.
type script struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) {
	if s.in.Len() == 0 {
		return 0, io.EOF
	}
	return s.in.Read(p)
}
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// conversation is what an honest client might say.
func conversation() []byte {
	var b bytes.Buffer
	fr := xhttp2.NewFramer(&b, nil)
	fr.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100})
	var h bytes.Buffer
	enc := hpack.NewEncoder(&h)
	for i := 0; i < len(postFields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: postFields[i], Value: postFields[i+1]})
	}
	fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: h.Bytes(), EndHeaders: true})
	fr.WriteData(1, false, []byte("body"))
	fr.WriteWindowUpdate(1, 100)
	fr.WriteDataPadded(1, true, []byte("body"), make([]byte, 3))
	fr.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 0})
	fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: h.Bytes()[:3]})
	fr.WriteContinuation(3, true, h.Bytes()[3:])
	fr.WriteRSTStream(3, xhttp2.ErrCodeCancel)
	fr.WritePing(false, [8]byte{})
	fr.WriteGoAway(0, xhttp2.ErrCodeNo, nil)
	return b.Bytes()
}

// FuzzServer: whatever a client says, Serve returns, all it started has ended, and what it wrote are frames.
func FuzzServer(f *testing.F) {
	freshPools()
	f.Add(conversation())
	f.Add(http2.AppendSettings(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &script{in: bytes.NewReader(append([]byte(http2.Preface), b...))}
		NewServer(c, ServerOptions{}, echo).Serve()
		wellFormed(t, c.out.Bytes())
	})
}

// FuzzClient: the same for what a server says to a call.
func FuzzClient(f *testing.F) {
	freshPools()
	answer := http2.AppendSettings(nil, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Value: 10})
	answer = http2.Headers{Stream: 1, EndHeaders: true, Fragment: []byte{0x88}}.Append(answer)
	answer = http2.Data{Stream: 1, Data: []byte("x")}.Append(answer)
	answer = http2.Headers{Stream: 1, EndHeaders: true, EndStream: true, Fragment: []byte{0x40, 1, 'a', 1, 'b'}}.Append(answer)
	f.Add(answer)
	f.Add(conversation())
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &script{in: bytes.NewReader(b)}
		gate := make(chan struct{})
		cl := NewClient(&gated{c, gate}, ClientOptions{})
		call := newCall("POST", "/", &source{left: 100, piece: 30})
		time.AfterFunc(0, func() { close(gate) })
		if cl.RoundTrip(call) == nil {
			readAll(call.Response.Body)
		}
		call.Finish(time.Time{})
		<-cl.Done()
		wellFormed(t, bytes.TrimPrefix(c.out.Bytes(), []byte(http2.Preface)))
	})
}

// gated says nothing before the gate is open.
type gated struct {
	*script
	gate chan struct{}
}

func (g *gated) Read(p []byte) (int, error) { <-g.gate; return g.script.Read(p) }

func wellFormed(t *testing.T, b []byte) {
	fr := xhttp2.NewFramer(nil, bytes.NewReader(b))
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		if _, err := fr.ReadFrame(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("we wrote %x: %v", b, err)
		}
	}
}
