package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// raw is a peer that speaks in frames, by x/net's framer.
type raw struct {
	*xhttp2.Framer
	t    *testing.T
	nc   net.Conn
	enc  *hpack.Encoder
	hbuf bytes.Buffer
	seen chan string // what it has read, a line a frame
}

func newRaw(t *testing.T, nc net.Conn) *raw {
	r := &raw{Framer: xhttp2.NewFramer(nc, nc), t: t, nc: nc, seen: make(chan string, 10000)}
	r.AllowIllegalWrites = true
	r.enc = hpack.NewEncoder(&r.hbuf)
	return r
}

// listen reads until the connection ends.
func (r *raw) listen() {
	r.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := r.ReadFrame()
		if err != nil {
			close(r.seen)
			return
		}
		switch f := f.(type) {
		case *xhttp2.GoAwayFrame:
			r.seen <- fmt.Sprintf("GOAWAY %d %v", f.LastStreamID, f.ErrCode)
		case *xhttp2.RSTStreamFrame:
			r.seen <- fmt.Sprintf("RST_STREAM %d %v", f.StreamID, f.ErrCode)
		case *xhttp2.MetaHeadersFrame:
			r.seen <- fmt.Sprintf("HEADERS %d %s end=%v", f.StreamID, f.PseudoValue("status")+f.PseudoValue("method"), f.StreamEnded())
		case *xhttp2.DataFrame:
			r.seen <- fmt.Sprintf("DATA %d %d end=%v", f.StreamID, len(f.Data()), f.StreamEnded())
		case *xhttp2.PingFrame:
			r.seen <- fmt.Sprintf("PING ack=%v", f.IsAck())
		}
	}
}

// next returns what came since, when all is quiet; "closed" at the end of the connection.
func (r *raw) next() string {
	synctest.Wait()
	var all []string
	for {
		select {
		case s, ok := <-r.seen:
			if !ok {
				return strings.Join(append(all, "closed"), "; ")
			}
			all = append(all, s)
			continue
		default:
		}
		return strings.Join(all, "; ")
	}
}

func (r *raw) block(fields ...string) []byte {
	r.hbuf.Reset()
	for i := 0; i < len(fields); i += 2 {
		r.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(r.hbuf.Bytes())
}

var getFields = []string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"}
var postFields = []string{":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/"}

func (r *raw) headers(id uint32, end bool, fields ...string) {
	r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: r.block(fields...), EndHeaders: true, EndStream: end})
}

// attack connects a raw client to a Server; its first SETTINGS have been exchanged.
func attack(t *testing.T, o ServerOptions, serve func(*Stream), f func(r *raw, why *reasons)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		freshPools()
		c, s := net.Pipe()
		var why reasons
		o.Report = why.add
		srv := NewServer(s, o, serve)
		served := make(chan error, 1)
		go func() { served <- srv.Serve() }()
		r := newRaw(t, c)
		go r.listen()
		io.WriteString(c, http2.Preface)
		r.WriteSettings()
		r.next()
		f(r, &why)
		c.Close()
		<-served
	})
}

// quiet answers once the request's body has ended.
func quiet(st *Stream) {
	c := st.Call()
	if _, err := readAll(c.Body); err == nil {
		c.Response.Status = 200
		st.Respond()
	}
	c.Finish(time.Time{})
}

// TestServerErrors cites RFC 9113: what ends a stream, and what the connection.
func TestServerErrors(t *testing.T) {
	const id3 = 3
	for _, c := range []struct {
		rule string
		do   func(r *raw)
		want string
	}{
		{"5.1 idle: Receiving any frame other than HEADERS or PRIORITY ... connection error PROTOCOL_ERROR: DATA", func(r *raw) { r.WriteData(1, false, []byte("x")) }, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"5.1 idle: RST_STREAM", func(r *raw) { r.WriteRSTStream(1, xhttp2.ErrCodeCancel) }, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"5.1 idle: WINDOW_UPDATE", func(r *raw) { r.WriteWindowUpdate(1, 100) }, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"5.1 idle: PRIORITY is allowed", func(r *raw) { r.WritePriority(1, xhttp2.PriorityParam{StreamDep: 5}); r.WritePing(false, [8]byte{}) }, "PING ack=true"},
		{"5.1 half-closed (remote): any frame ... stream error STREAM_CLOSED: DATA", func(r *raw) {
			r.headers(1, false, postFields...)
			r.WriteData(1, true, nil)
			r.next()
			r.headers(id3, true, append(getFields, "hold", "1")...)
			r.next()
			r.WriteData(id3, false, []byte("x"))
		}, "RST_STREAM 3 STREAM_CLOSED"},
		{"5.1 half-closed (remote): HEADERS", func(r *raw) {
			r.headers(id3, true, append(getFields, "hold", "1")...)
			r.headers(id3, true, "x", "y")
		}, "RST_STREAM 3 STREAM_CLOSED"},
		{"5.1 closed: after END_STREAM both ways ... DATA", func(r *raw) {
			r.headers(1, true, getFields...)
			r.next()
			r.WriteData(1, false, []byte("x"))
		}, "RST_STREAM 1 STREAM_CLOSED"},
		{"5.1 closed: HEADERS ... connection error STREAM_CLOSED", func(r *raw) {
			r.headers(1, true, getFields...)
			r.next()
			r.headers(1, true, getFields...)
		}, "GOAWAY 1 STREAM_CLOSED; closed"},
		{"5.1 closed by the peer's RST_STREAM: DATA", func(r *raw) {
			r.headers(1, false, postFields...)
			r.WriteRSTStream(1, xhttp2.ErrCodeCancel)
			r.WriteData(1, false, []byte("x"))
		}, "RST_STREAM 1 STREAM_CLOSED"},
		{"5.1 closed: WINDOW_UPDATE or RST_STREAM ... MUST be ignored for a while", func(r *raw) {
			r.headers(1, true, getFields...)
			r.next()
			r.WriteWindowUpdate(1, 1)
			r.WriteRSTStream(1, xhttp2.ErrCodeCancel)
			r.WritePing(false, [8]byte{})
		}, "PING ack=true"},
		{"5.4.2: after it has sent RST_STREAM an endpoint MUST be prepared to receive frames that were under way", func(r *raw) {
			r.headers(1, false, append(postFields, "Bad", "x")...)
			r.WriteData(1, false, []byte("x"))
			r.headers(1, true, "x", "y")
			r.WriteRSTStream(1, xhttp2.ErrCodeCancel)
			r.WritePing(false, [8]byte{})
		}, "RST_STREAM 1 PROTOCOL_ERROR; PING ack=true"},
		{"5.1.1: even numbers", func(r *raw) { r.headers(2, true, getFields...) }, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"5.1.1: a number below one used before", func(r *raw) {
			r.headers(5, true, append(getFields, "hold", "1")...)
			r.headers(id3, true, getFields...)
		}, "GOAWAY 5 STREAM_CLOSED; closed"},
		{"5.1.2: MAX_CONCURRENT_STREAMS ... REFUSED_STREAM", func(r *raw) {
			for i := range uint32(5) {
				r.headers(2*i+1, true, append(getFields, "hold", "1")...)
			}
		}, "RST_STREAM 9 REFUSED_STREAM"},
		{"5.5: unknown frame types are ignored", func(r *raw) { r.WriteRawFrame(0x16, 0, 0, []byte("x")); r.WritePing(false, [8]byte{}) }, "PING ack=true"},
		{"5.5: ... but not inside a field block", func(r *raw) {
			r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(getFields...)})
			r.WriteRawFrame(0x16, 0, 0, []byte("x"))
		}, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"4.2: a frame above SETTINGS_MAX_FRAME_SIZE", func(r *raw) { r.headers(1, false, postFields...); r.WriteData(1, true, make([]byte, 16385)) }, "GOAWAY 1 FRAME_SIZE_ERROR; closed"},
		{"4.3: a decoding error ... connection error COMPRESSION_ERROR", func(r *raw) {
			r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}, "GOAWAY 0 COMPRESSION_ERROR; closed"},
		{"6.2, 6.10: another stream's frame inside a field block", func(r *raw) {
			r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(getFields...)})
			r.WriteData(1, true, nil)
		}, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"6.10: CONTINUATION of another stream", func(r *raw) {
			r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(getFields...)})
			r.WriteContinuation(id3, true, nil)
		}, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"6.10: CONTINUATION after END_HEADERS", func(r *raw) {
			r.headers(1, true, append(getFields, "hold", "1")...)
			r.WriteContinuation(1, true, nil)
		}, "GOAWAY 1 PROTOCOL_ERROR; closed"},
		{"6.10: a field block in three frames", func(r *raw) {
			b := r.block(getFields...)
			r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:1], EndStream: true})
			r.WriteContinuation(1, false, b[1:2])
			r.WriteContinuation(1, true, b[2:])
		}, "HEADERS 1 200 end=true"},
		{"6.5.3: SETTINGS are acknowledged, unknown ones ignored", func(r *raw) { r.WriteSettings(xhttp2.Setting{ID: 99, Val: 1}); r.WritePing(false, [8]byte{}) }, "PING ack=true"},
		{"6.6: a client MUST NOT send PUSH_PROMISE", func(r *raw) { r.WritePushPromise(xhttp2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true}) }, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"6.7: PING is answered", func(r *raw) { r.WritePing(false, [8]byte{1}) }, "PING ack=true"},
		{"6.9: WINDOW_UPDATE of 0 on a stream", func(r *raw) { r.headers(1, true, append(getFields, "hold", "1")...); r.WriteWindowUpdate(1, 0) }, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"6.9: WINDOW_UPDATE of 0 on the connection", func(r *raw) { r.WriteWindowUpdate(0, 0) }, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"6.9.1: a stream's window above 2^31-1", func(r *raw) {
			r.headers(1, true, append(getFields, "hold", "1")...)
			r.WriteWindowUpdate(1, 1<<31-1)
		}, "RST_STREAM 1 FLOW_CONTROL_ERROR"},
		{"6.9.1: the connection's window above 2^31-1", func(r *raw) { r.WriteWindowUpdate(0, 1<<31-1) }, "GOAWAY 0 FLOW_CONTROL_ERROR; closed"},
		{"6.9.2: SETTINGS_INITIAL_WINDOW_SIZE makes a stream's window overflow", func(r *raw) {
			r.headers(1, true, append(getFields, "hold", "1")...)
			r.WriteWindowUpdate(1, 1<<30)
			r.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1<<31 - 1})
		}, "GOAWAY 1 FLOW_CONTROL_ERROR; closed"},
		{"6.9: more DATA than the stream's window", func(r *raw) {
			r.headers(1, false, append(postFields, "hold", "1")...)
			for range 5 {
				r.WriteData(1, false, make([]byte, 16384))
			}
		}, "RST_STREAM 1 FLOW_CONTROL_ERROR"},
		{"8.1: trailers without END_STREAM", func(r *raw) { r.headers(1, false, postFields...); r.headers(1, false, "x", "y") }, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.1: pseudo-header fields in trailers", func(r *raw) { r.headers(1, false, postFields...); r.headers(1, true, ":path", "/") }, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.1.1: content-length larger than the DATA", func(r *raw) {
			r.headers(1, false, append(postFields, "content-length", "5")...)
			r.WriteData(1, true, []byte("four"))
		}, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.1.1: content-length smaller than the DATA", func(r *raw) {
			r.headers(1, false, append(postFields, "content-length", "3")...)
			r.WriteData(1, false, []byte("four"))
		}, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.1.1: content-length and trailers too soon", func(r *raw) {
			r.headers(1, false, append(postFields, "content-length", "3")...)
			r.headers(1, true, "x", "y")
		}, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.1.1: content-length without DATA", func(r *raw) { r.headers(1, true, append(postFields, "content-length", "3")...) }, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.2.2: connection-specific fields", func(r *raw) { r.headers(1, true, append(getFields, "connection", "close")...) }, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.3.1: no :path", func(r *raw) { r.headers(1, true, getFields[:6]...) }, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"RFC 7540 5.3.1: depends on itself; the field block still counts", func(r *raw) {
			r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(append(getFields, "x-new", "v")...), EndHeaders: true, EndStream: true, Priority: xhttp2.PriorityParam{StreamDep: 1, Weight: 1}})
			r.headers(id3, true, append(getFields, "x-new", "v")...)
		}, "RST_STREAM 1 PROTOCOL_ERROR; HEADERS 3 200 end=true"},
		{"10.5.1, RFC 6585: field section above the limit", func(r *raw) {
			r.headers(1, true, append(getFields, "x", strings.Repeat("v", 9000))...)
			r.headers(id3, true, getFields...)
		}, "HEADERS 1 431 end=true; HEADERS 3 200 end=true"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			var o ServerOptions
			o.MaxStreams, o.StreamWindow, o.MaxHeaderList = 4, 64<<10, 8<<10
			attack(t, o, func(st *Stream) {
				if _, ok := st.Call().Header.Get("hold"); ok {
					<-st.Call().Gone
					return
				}
				quiet(st)
			}, func(r *raw, why *reasons) {
				c.do(r)
				if got := r.next(); got != c.want {
					t.Errorf("got  %s\nwant %s\nreported %v", got, c.want, why.list)
				}
			})
		})
	}
}

// TestPreface: section 3.4: what does not begin as HTTP/2 is refused at the first byte that differs, and what does not come in
// time is not waited for.
func TestPreface(t *testing.T) {
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "P", strings.Replace(http2.Preface, "SM", "XX", 1), http2.Preface, http2.Preface + "\x00\x00\x00\x04\x01\x00\x00\x00\x00"} {
		synctest.Test(t, func(t *testing.T) {
			freshPools()
			c, s := net.Pipe()
			go io.Copy(io.Discard, c)
			var why reasons
			srv := NewServer(s, ServerOptions{Options: Options{Report: why.add}}, echo)
			served := make(chan error, 1)
			go func() { served <- srv.Serve() }()
			start := time.Now()
			io.WriteString(c, text)
			err := <-served
			var e *http2.Error
			if !errors.As(err, &e) {
				t.Errorf("%q: %v", text, err)
			}
			if late := time.Since(start) > 9*time.Second; late != why.has(HandshakeStall) || late != (text == "P" || text == http2.Preface) {
				t.Errorf("%q: after %v, %v", text, time.Since(start), why.list)
			}
			c.Close()
		})
	}
}

// abuses are what a client may do to cost a server more than itself.
func TestAbuse(t *testing.T) {
	block := func(st *Stream) { <-st.Call().Gone; st.Call().Finish(time.Time{}) }
	for _, c := range []struct {
		reason Reason
		serve  func(*Stream)
		do     func(r *raw, i uint32)
	}{
		{RapidReset, block, func(r *raw, i uint32) { // CVE-2023-44487
			r.headers(2*i+1, true, getFields...)
			r.WriteRSTStream(2*i+1, xhttp2.ErrCodeCancel)
		}},
		{RapidReset, block, func(r *raw, i uint32) { // CVE-2025-8671: the server is made to reset
			r.headers(2*i+1, true, getFields...)
			r.WriteWindowUpdate(2*i+1, 0)
		}},
		{RapidReset, quiet, func(r *raw, i uint32) { r.headers(2*i+1, true, ":method", "GET") }},
		{PingFlood, quiet, func(r *raw, i uint32) { r.WritePing(false, [8]byte{}) }},
		{SettingsFlood, quiet, func(r *raw, i uint32) { r.WriteSettings() }}, // CVE-2019-9515
		{PingFlood, quiet, func(r *raw, i uint32) { r.WritePing(true, [8]byte{}) }},
		{SettingsFlood, quiet, func(r *raw, i uint32) { r.WriteSettingsAck() }},
		{GoAwayFlood, quiet, func(r *raw, i uint32) { r.WriteGoAway(0, xhttp2.ErrCodeNo, nil) }},
		{EmptyFrameFlood, quiet, func(r *raw, i uint32) { // CVE-2019-9518
			if i == 0 {
				r.headers(1, false, postFields...)
			}
			r.WriteData(1, false, nil)
		}},
		{EmptyFrameFlood, quiet, func(r *raw, i uint32) { // the same behind padding
			if i == 0 {
				r.headers(1, false, postFields...)
			}
			r.WriteDataPadded(1, false, nil, make([]byte, 200))
		}},
		{PriorityFlood, quiet, func(r *raw, i uint32) { r.WritePriority(2*i+1, xhttp2.PriorityParam{}) }}, // CVE-2019-9513
		{PriorityFlood, quiet, func(r *raw, i uint32) { r.WriteRawFrame(0x20, 0, 0, nil) }},
		{WindowFlood, quiet, func(r *raw, i uint32) { r.WriteWindowUpdate(0, 1) }},
		{ContinuationFlood, quiet, func(r *raw, i uint32) { // CVE-2024-27316
			if i == 0 {
				r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(getFields...)})
			}
			r.WriteContinuation(1, false, nil)
		}},
		{ContinuationFlood, quiet, func(r *raw, i uint32) {
			if i == 0 {
				r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(getFields...)})
			}
			r.WriteContinuation(1, false, make([]byte, 16000))
		}},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			attack(t, ServerOptions{}, c.serve, func(r *raw, why *reasons) {
				i := uint32(0)
				for ; i < 5000 && !why.has(c.reason); i++ {
					c.do(r, i)
				}
				if got := r.next(); !strings.Contains(got, "ENHANCE_YOUR_CALM") || !strings.HasSuffix(got, "closed") {
					t.Errorf("after %d: %.200s %v", i, got, why.list)
				}
				if i > 1100 || c.reason == ContinuationFlood && i > 80 {
					t.Errorf("only after %d", i)
				}
			})
		})
	}
}

// TestPatience: what floods count, an honest peer may do for as long as it likes.
func TestPatience(t *testing.T) {
	attack(t, ServerOptions{}, quiet, func(r *raw, why *reasons) {
		for i := range uint32(5000) {
			r.headers(2*i+1, true, getFields...)
			r.WritePing(false, [8]byte{})
			r.WriteWindowUpdate(0, 1)
			time.Sleep(2 * time.Millisecond)
		}
		if got := r.next(); strings.Contains(got, "closed") || len(why.list) > 0 {
			t.Errorf("%v", why.list)
		}
	})
}

// TestStalls: bytes that a peer does not let go, writes that it does not take, and frames that it does not finish end in time.
func TestStalls(t *testing.T) {
	t.Run("window", func(t *testing.T) { // CVE-2019-9517
		var broke chan error
		attack(t, ServerOptions{}, func(st *Stream) {
			st.Call().Response.Status = 200
			st.Call().Response.Body = &source{left: 1 << 20, piece: 1000}
			broke <- st.Respond()
		}, func(r *raw, why *reasons) {
			broke = make(chan error, 1)
			start := time.Now()
			r.headers(1, true, getFields...)
			if err := <-broke; !errors.Is(err, traffic.ErrCanceled) || !why.has(WindowStall) || time.Since(start) > 7*time.Minute {
				t.Errorf("%v after %v, %v", err, time.Since(start), why.list)
			}
			if got := r.next(); !strings.HasSuffix(got, "RST_STREAM 1 CANCEL") {
				t.Error(got)
			}
		})
	})
	t.Run("tunnel", func(t *testing.T) { // may stand still
		attack(t, ServerOptions{}, func(st *Stream) {
			st.Call().Response.Status = 200
			st.Call().Response.Body = &source{left: 1 << 20, piece: 1000}
			st.Respond()
		}, func(r *raw, why *reasons) {
			r.headers(1, false, ":method", "CONNECT", ":authority", "a:80")
			time.Sleep(time.Hour)
			if got := r.next(); strings.Contains(got, "RST_STREAM") || len(why.list) > 0 {
				t.Error(got, why.list)
			}
		})
	})
	t.Run("write", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			freshPools()
			c, s := net.Pipe()
			var why reasons
			srv := NewServer(s, ServerOptions{Options: Options{Report: why.add}}, echo)
			served := make(chan error, 1)
			go func() { served <- srv.Serve() }()
			r := newRaw(t, c)
			io.WriteString(c, http2.Preface) // and nothing is ever read
			r.WriteSettings()
			start := time.Now()
			<-served
			if !why.has(WriteStall) || time.Since(start) > 45*time.Second {
				t.Errorf("after %v, %v", time.Since(start), why.list)
			}
			c.Close()
		})
	})
	t.Run("frame", func(t *testing.T) {
		attack(t, ServerOptions{}, quiet, func(r *raw, why *reasons) {
			start := time.Now()
			r.nc.Write([]byte{0, 0, 100, 0, 0})
			for range r.seen {
			}
			if d := time.Since(start); !why.has(SlowFrame) || d > 45*time.Second {
				t.Errorf("after %v, %v", d, why.list)
			}
		})
	})
	t.Run("field section", func(t *testing.T) {
		attack(t, ServerOptions{}, quiet, func(r *raw, why *reasons) {
			r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(getFields...)})
			for range r.seen {
			}
			if !why.has(SlowFrame) {
				t.Errorf("%v", why.list)
			}
		})
	})
}

// TestBacklog: answers do not pile up for a peer that asks and does not read.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freshPools()
		c, s := net.Pipe()
		var why reasons
		srv := NewServer(s, ServerOptions{Options: Options{Report: why.add, MaxControl: 1 << 30}}, quiet)
		served := make(chan error, 1)
		go func() { served <- srv.Serve() }()
		r := newRaw(t, c)
		io.WriteString(c, http2.Preface)
		r.WriteSettings()
		for r.WritePing(false, [8]byte{}) == nil {
		}
		<-served
		if !why.has(WriteBacklog) {
			t.Errorf("%v", why.list)
		}
		c.Close()
	})
}

// victim connects a Client to a raw server.
func victim(t *testing.T, o ClientOptions, f func(cl *Client, r *raw)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		freshPools()
		c, s := net.Pipe()
		cl := make(chan *Client)
		go func() { cl <- NewClient(c, o) }()
		io.ReadFull(s, make([]byte, len(http2.Preface)))
		r := newRaw(t, s)
		go r.listen()
		r.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: 3})
		client := <-cl
		r.next()
		f(client, r)
		client.Close()
		s.Close()
		<-client.Done()
	})
}

// TestClientErrors: the same table for what a server may not do. Each case sees a call under way on stream 1.
func TestClientErrors(t *testing.T) {
	for _, c := range []struct {
		rule string
		do   func(r *raw)
		is   error
		want string
	}{
		{"8.7: REFUSED_STREAM: the request has not been processed", func(r *raw) { r.WriteRSTStream(1, xhttp2.ErrCodeRefusedStream) }, traffic.ErrRefused, ""},
		{"5.4.2: any other code", func(r *raw) { r.WriteRSTStream(1, xhttp2.ErrCodeInternal) }, traffic.ErrReset, ""},
		{"6.8: streams above the last one were not processed", func(r *raw) { r.WriteGoAway(0, xhttp2.ErrCodeNo, nil) }, traffic.ErrRefused, "GOAWAY 0 NO_ERROR; closed"},
		{"6.8: ... also when the connection is lost right after", func(r *raw) { r.WriteGoAway(0, xhttp2.ErrCodeEnhanceYourCalm, nil); r.nc.Close() }, traffic.ErrRefused, "*closed"},
		{"6.8: those below may have been", func(r *raw) { r.WriteGoAway(1, xhttp2.ErrCodeNo, nil); r.nc.Close() }, traffic.ErrReset, "closed"},
		{"the connection is lost", func(r *raw) { r.nc.Close() }, traffic.ErrReset, "closed"},
		{"8.3.2: no :status", func(r *raw) { r.headers(1, true, "x", "y") }, traffic.ErrReset, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.2.2: connection-specific", func(r *raw) { r.headers(1, true, ":status", "200", "connection", "close") }, traffic.ErrReset, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.1: DATA before HEADERS", func(r *raw) { r.WriteData(1, true, []byte("x")) }, traffic.ErrReset, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.1: END_STREAM on an interim response", func(r *raw) { r.headers(1, true, ":status", "103") }, traffic.ErrReset, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.6: 101", func(r *raw) { r.headers(1, false, ":status", "101") }, traffic.ErrReset, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"too many interim responses", func(r *raw) {
			for range 40 {
				r.headers(1, false, ":status", "103")
			}
		}, traffic.ErrReset, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"8.1.1: content-length without DATA", func(r *raw) { r.headers(1, true, ":status", "200", "content-length", "4") }, traffic.ErrReset, "RST_STREAM 1 PROTOCOL_ERROR"},
		{"10.5.1: field section above the limit", func(r *raw) { r.headers(1, true, ":status", "200", "x", strings.Repeat("v", 9000)) }, traffic.ErrReset, "RST_STREAM 1 ENHANCE_YOUR_CALM"},
		{"6.6: PUSH_PROMISE although push is off", func(r *raw) { r.WritePushPromise(xhttp2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true}) }, traffic.ErrReset, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"5.1.1: a server opens a stream", func(r *raw) { r.headers(2, true, ":status", "200") }, traffic.ErrReset, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"5.1: a frame for an idle stream", func(r *raw) { r.headers(7, true, ":status", "200") }, traffic.ErrReset, "GOAWAY 0 PROTOCOL_ERROR; closed"},
		{"6.5.2: a server enables push", func(r *raw) { r.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingEnablePush, Val: 1}) }, traffic.ErrReset, "GOAWAY 0 PROTOCOL_ERROR; closed"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			victim(t, ClientOptions{Options: Options{MaxHeaderList: 8 << 10}}, func(cl *Client, r *raw) {
				call := newCall("GET", "/", nil)
				done := make(chan error, 1)
				go func() { done <- cl.RoundTrip(call) }()
				if got := r.next(); got != "HEADERS 1 GET end=true" {
					t.Fatal(got)
				}
				c.do(r)
				got := r.next()
				err := <-done
				if !errors.Is(err, c.is) || !errors.Is(call.Response.Err, c.is) || got != c.want && !(c.want == "*closed" && strings.HasSuffix(got, "closed")) {
					t.Errorf("error %v, want %v; the server sees %q, want %q", err, c.is, got, c.want)
				}
			})
		})
	}
}

// TestResetStates: a reset meets a call in each of its states.
func TestResetStates(t *testing.T) {
	victim(t, ClientOptions{}, func(cl *Client, r *raw) {
		begin := func(b traffic.Body) (*traffic.Call, chan error) {
			c, done := newCall("POST", "/", b), make(chan error, 1)
			go func() { done <- cl.RoundTrip(c) }()
			r.next()
			return c, done
		}
		// While the request's body waits for its maker.
		b := newBody()
		_, done := begin(b)
		r.WriteRSTStream(1, xhttp2.ErrCodeCancel)
		if err := <-done; !errors.Is(err, traffic.ErrReset) {
			t.Error(err)
		}
		if b.stop {
			t.Error("the body was left interrupted")
		}
		// While it waits for window.
		_, done = begin(&source{left: 1 << 20, piece: 1000})
		r.WriteRSTStream(3, xhttp2.ErrCodeCancel)
		if err := <-done; !errors.Is(err, traffic.ErrReset) {
			t.Error(err)
		}
		// After the head, before the body's end.
		var c *traffic.Call
		c, done = begin(nil)
		r.headers(5, false, ":status", "200")
		<-done
		r.WriteData(5, false, []byte("half"))
		r.next()
		r.WriteRSTStream(5, xhttp2.ErrCodeInternal)
		r.next()
		if _, err := readAll(c.Response.Body); !errors.Is(err, traffic.ErrReset) {
			t.Error(err)
		}
		c.Finish(time.Time{})
		// "Clients MUST NOT discard responses as a result of receiving such a RST_STREAM" (section 8.1): all has come, the
		// request's rest is not wanted.
		b = newBody()
		c, done = begin(b)
		r.headers(7, false, ":status", "413")
		r.WriteData(7, true, []byte("too large"))
		r.WriteRSTStream(7, xhttp2.ErrCodeNo)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s, err := readAll(c.Response.Body); s != "too large" || err != nil {
			t.Errorf("%q %v", s, err)
		}
		c.Finish(time.Time{})
		// The response ends first and the server says no more: we say that the rest will not come.
		_, done = begin(newBody())
		r.headers(9, true, ":status", "200")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := r.next(); got != "RST_STREAM 9 NO_ERROR" {
			t.Error(got)
		}
		// A response that nobody wants to read.
		c, done = begin(nil)
		r.headers(11, false, ":status", "200")
		<-done
		c.Response.Body.Close(errors.New("enough"))
		if got := r.next(); got != "RST_STREAM 11 CANCEL" {
			t.Error(got)
		}
		c.Finish(time.Time{})
		if n := cl.Streams(); n != 0 {
			t.Errorf("%d streams left", n)
		}
	})
}

// TestLimits: no more streams than the server allows, also when it changes its mind.
func TestLimits(t *testing.T) {
	victim(t, ClientOptions{}, func(cl *Client, r *raw) {
		call := func() { go cl.RoundTrip(newCall("GET", "/", nil)); synctest.Wait() }
		for i := range 3 {
			if n := cl.Available(); n != 3-i {
				t.Errorf("%d available after %d calls", n, i)
			}
			call()
		}
		if err := cl.RoundTrip(newCall("GET", "/", nil)); err != ErrFull {
			t.Error(err)
		}
		r.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: 1})
		r.headers(1, true, ":status", "200")
		r.next()
		if n := cl.Available(); n != 0 || cl.Streams() != 2 {
			t.Errorf("%d available, %d open", n, cl.Streams())
		}
		r.headers(3, true, ":status", "200")
		r.headers(5, true, ":status", "200")
		r.next()
		if n := cl.Available(); n != 1 {
			t.Errorf("%d available", n)
		}
	})
}

// TestWindows: a sender obeys both windows to the byte, a shrinking initial window included (section 6.9.2).
func TestWindows(t *testing.T) {
	victim(t, ClientOptions{}, func(cl *Client, r *raw) {
		r.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100})
		r.next()
		go cl.RoundTrip(newCall("POST", "/", &traffic.Bytes{B: make([]byte, 1000)}))
		if got := r.next(); got != "HEADERS 1 POST end=false; DATA 1 100 end=false" {
			t.Error(got)
		}
		r.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 40}) // now at -60
		r.WriteWindowUpdate(1, 61)
		if got := r.next(); got != "DATA 1 1 end=false" {
			t.Error(got)
		}
		r.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 50})
		if got := r.next(); got != "DATA 1 10 end=false" {
			t.Error(got)
		}
		r.WriteWindowUpdate(1, 10000)
		if got := r.next(); got != "DATA 1 889 end=false; DATA 1 0 end=true" {
			t.Error(got)
		}
		go cl.RoundTrip(newCall("POST", "/", &source{left: 100000, piece: 5000}))
		r.next()
		r.WriteWindowUpdate(3, 1<<20)
		r.next()
		total := 65535 - 1000
		go cl.RoundTrip(newCall("POST", "/", &traffic.Bytes{B: make([]byte, 10)}))
		synctest.Wait()
		r.WriteWindowUpdate(5, 1)
		if got := r.next(); strings.Contains(got, "DATA 5") {
			t.Errorf("sent beyond the connection's window of %d: %s", total, got)
		}
		r.WriteWindowUpdate(0, 1<<20)
		if got := r.next(); !strings.Contains(got, "DATA 5 10 end=false") || !strings.Contains(got, "DATA 3") {
			t.Error(got)
		}
	})
}

// TestFairness: a small answer does not wait behind a large one.
func TestFairness(t *testing.T) {
	attack(t, ServerOptions{}, func(st *Stream) {
		c := st.Call()
		c.Response.Status = 200
		if c.Response.Body = (&source{left: 1 << 20, piece: 1 << 20}); st.id == 3 {
			c.Response.Body = &source{left: 20000, piece: 20000}
		}
		st.Respond()
	}, func(r *raw, _ *reasons) {
		r.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 24})
		r.headers(1, true, getFields...)
		r.next() // the connection's window is used up
		r.headers(3, true, getFields...)
		r.next()
		r.WriteWindowUpdate(0, 1<<16)
		got := r.next()
		if want := "DATA 1 16384 end=false; DATA 3 16384 end=false; DATA 1 16384 end=false; DATA 3 3616 end=false"; !strings.HasPrefix(got, want) {
			t.Errorf("got %s\nwant %s ...", got, want)
		}
	})
}
