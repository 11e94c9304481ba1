package http2

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// parse runs the parser of a frame's type and writes back what it understood.
func parse(h FrameHeader, p []byte) (again []byte, err error) {
	switch h.Type {
	case TypeData:
		var f Data
		f, err = ParseData(h, p)
		again = f.Append(nil)
	case TypeHeaders:
		var f Headers
		f, err = ParseHeaders(h, p)
		again = f.Append(nil)
	case TypePriority:
		_, err = ParsePriority(h, p)
	case TypeRSTStream:
		var f RSTStream
		f, err = ParseRSTStream(h, p)
		again = f.Append(nil)
	case TypeSettings:
		var f Settings
		f, err = ParseSettings(h, p)
		if f.Ack {
			again = AppendSettingsAck(nil)
			break
		}
		var list []Setting
		for s := range f.All {
			list = append(list, s)
		}
		again = AppendSettings(nil, list...)
	case TypePushPromise:
		err = RefusePush(h)
	case TypePing:
		var f Ping
		f, err = ParsePing(h, p)
		again = f.Append(nil)
	case TypeGoAway:
		var f GoAway
		f, err = ParseGoAway(h, p)
		again = f.Append(nil)
	case TypeWindowUpdate:
		var f WindowUpdate
		f, err = ParseWindowUpdate(h, p)
		again = f.Append(nil)
	case TypeContinuation:
		var f Continuation
		f, err = ParseContinuation(h, p)
		again = f.Append(nil)
	}
	return again, err
}

// TestFrameErrors cites RFC 9113: for each rule the frame that breaks it, the code, and whether the stream or the connection
// ends.
func TestFrameErrors(t *testing.T) {
	for _, c := range []struct {
		rule    string
		h       FrameHeader
		payload string
		code    ErrCode
		stream  bool
	}{
		{"6.1: If a DATA frame is received whose Stream Identifier field is 0x00 ... PROTOCOL_ERROR", FrameHeader{Type: TypeData}, "", ProtocolError, false},
		{"6.1: If the length of the padding is the length of the frame payload or greater ... PROTOCOL_ERROR", FrameHeader{Type: TypeData, Flags: FlagPadded, Stream: 1}, "\x05abcd", ProtocolError, false},
		{"4.2: FRAME_SIZE_ERROR if a frame ... is too small to contain mandatory frame data", FrameHeader{Type: TypeData, Flags: FlagPadded, Stream: 1}, "", FrameSizeError, false},
		{"6.2: If a HEADERS frame is received whose Stream Identifier field is 0x00", FrameHeader{Type: TypeHeaders}, "", ProtocolError, false},
		{"4.2, priority cut short", FrameHeader{Type: TypeHeaders, Flags: FlagPriority, Stream: 1}, "abcd", FrameSizeError, false},
		{"RFC 7540 5.3.1: A stream cannot depend on itself", FrameHeader{Type: TypeHeaders, Flags: FlagPriority, Stream: 1}, "\x00\x00\x00\x01\x00", ProtocolError, true},
		{"6.3: If a PRIORITY frame is received with a stream identifier of 0x00", FrameHeader{Type: TypePriority}, "abcde", ProtocolError, false},
		{"6.3: A PRIORITY frame with a length other than 5 octets MUST be treated as a stream error", FrameHeader{Type: TypePriority, Stream: 3}, "abcd", FrameSizeError, true},
		{"6.4: If a RST_STREAM frame is received with a stream identifier of 0x00", FrameHeader{Type: TypeRSTStream}, "abcd", ProtocolError, false},
		{"6.4: A RST_STREAM frame with a length other than 4 octets", FrameHeader{Type: TypeRSTStream, Stream: 1}, "abc", FrameSizeError, false},
		{"6.5: If an endpoint receives a SETTINGS frame whose Stream Identifier field is anything other than 0x00", FrameHeader{Type: TypeSettings, Stream: 1}, "", ProtocolError, false},
		{"6.5: SETTINGS with the ACK flag set and a length field value other than 0", FrameHeader{Type: TypeSettings, Flags: FlagAck}, "abcdef", FrameSizeError, false},
		{"6.5: A SETTINGS frame with a length other than a multiple of 6 octets", FrameHeader{Type: TypeSettings}, "abc", FrameSizeError, false},
		{"6.5.2: ENABLE_PUSH: Any value other than 0 or 1", FrameHeader{Type: TypeSettings}, "\x00\x02\x00\x00\x00\x02", ProtocolError, false},
		{"6.5.2: INITIAL_WINDOW_SIZE: Values above the maximum flow-control window size", FrameHeader{Type: TypeSettings}, "\x00\x04\x80\x00\x00\x00", FlowControlError, false},
		{"6.5.2: MAX_FRAME_SIZE: Values outside this range", FrameHeader{Type: TypeSettings}, "\x00\x05\x00\x00\x3f\xff", ProtocolError, false},
		{"6.6: A client that has set this setting to 0 ... MUST treat the receipt of a PUSH_PROMISE frame as a connection error", FrameHeader{Type: TypePushPromise, Stream: 1}, "\x00\x00\x00\x02", ProtocolError, false},
		{"6.7: If a PING frame is received with a Stream Identifier field value other than 0x00", FrameHeader{Type: TypePing, Stream: 1}, "abcdefgh", ProtocolError, false},
		{"6.7: Receipt of a PING frame with a length field value other than 8", FrameHeader{Type: TypePing}, "abc", FrameSizeError, false},
		{"6.8: GOAWAY ... stream identifier other than 0x00", FrameHeader{Type: TypeGoAway, Stream: 1}, "abcdefgh", ProtocolError, false},
		{"4.2, GOAWAY cut short", FrameHeader{Type: TypeGoAway}, "abcdefg", FrameSizeError, false},
		{"6.9: flow-control window increment of 0 as a stream error", FrameHeader{Type: TypeWindowUpdate, Stream: 1}, "\x00\x00\x00\x00", ProtocolError, true},
		{"6.9: errors on the connection flow-control window MUST be treated as a connection error", FrameHeader{Type: TypeWindowUpdate}, "\x00\x00\x00\x00", ProtocolError, false},
		{"6.9: A WINDOW_UPDATE frame with a length other than 4 octets", FrameHeader{Type: TypeWindowUpdate, Stream: 1}, "abc", FrameSizeError, false},
		{"6.10: CONTINUATION frame ... Stream Identifier field is 0x00", FrameHeader{Type: TypeContinuation}, "", ProtocolError, false},
	} {
		c.h.Length = uint32(len(c.payload))
		_, err := parse(c.h, []byte(c.payload))
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || (e.Stream != 0) != c.stream {
			t.Errorf("%s: got %v", c.rule, err)
		}
	}
}

// TestOracleReads: x/net's framer reads what we write.
func TestOracleReads(t *testing.T) {
	var b []byte
	b = AppendSettings(b, Setting{SettingInitialWindowSize, 1 << 20}, Setting{SettingEnableConnect, 1})
	b = AppendSettingsAck(b)
	b = Ping{Ack: true, Data: [8]byte{1, 2}}.Append(b)
	b = WindowUpdate{3, 77}.Append(b)
	b = RSTStream{5, Cancel}.Append(b)
	b = GoAway{7, EnhanceYourCalm, []byte("too many")}.Append(b)
	b = Data{9, true, []byte("body")}.Append(b)
	at := len(b)
	b = append(b, make([]byte, HeaderLen)...)
	b = NewEncoder(0).AppendField(b, "x-long", strings.Repeat("v", 40000), false)
	b = AppendBlock(b, at, 11, true, DefaultFrameSize)
	fr := xhttp2.NewFramer(nil, bytes.NewReader(b))
	var got []string
	for {
		f, err := fr.ReadFrame()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Header().String())
	}
	want := `[FrameHeader SETTINGS len=12]
[FrameHeader SETTINGS flags=ACK len=0]
[FrameHeader PING flags=ACK len=8]
[FrameHeader WINDOW_UPDATE stream=3 len=4]
[FrameHeader RST_STREAM stream=5 len=4]
[FrameHeader GOAWAY len=16]
[FrameHeader DATA flags=END_STREAM stream=9 len=4]
[FrameHeader HEADERS flags=END_STREAM stream=11 len=16384]
[FrameHeader CONTINUATION stream=11 len=16384]
[FrameHeader CONTINUATION flags=END_HEADERS stream=11 len=7244]`
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s", s)
	}
}

// TestOracleWrites: we read what x/net's framer writes, padding and priority included.
func TestOracleWrites(t *testing.T) {
	var buf bytes.Buffer
	fr := xhttp2.NewFramer(&buf, nil)
	fr.AllowIllegalWrites = true
	fr.WriteDataPadded(1, true, []byte("body"), make([]byte, 9))
	fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte("block"), PadLength: 4,
		Priority: xhttp2.PriorityParam{StreamDep: 1, Weight: 7}, EndStream: true})
	b := buf.Bytes()
	h, _ := ParseFrameHeader(b)
	d, err := ParseData(h, b[HeaderLen:HeaderLen+h.Length])
	if err != nil || string(d.Data) != "body" || !d.EndStream {
		t.Errorf("%+v %v", d, err)
	}
	b = b[HeaderLen+h.Length:]
	h, _ = ParseFrameHeader(b)
	hs, err := ParseHeaders(h, b[HeaderLen:HeaderLen+h.Length])
	if err != nil || string(hs.Fragment) != "block" || !hs.EndStream || hs.EndHeaders || hs.Stream != 3 {
		t.Errorf("%+v %v", hs, err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(Data{1, true, []byte("x")}.Append(nil))
	f.Add(Headers{1, true, true, []byte{0x82}}.Append(nil))
	f.Add(AppendSettings(nil, Setting{SettingMaxFrameSize, 1 << 15}))
	f.Add(Ping{}.Append(nil))
	f.Add(GoAway{1, 2, []byte("why")}.Append(nil))
	f.Add(WindowUpdate{0, 1}.Append(nil))
	f.Add(RSTStream{1, Cancel}.Append(nil))
	f.Add([]byte{0, 0, 5, 2, 0, 0, 0, 0, 3, 0, 0, 0, 1, 2})
	f.Add([]byte{0, 0, 3, 0, 8, 0, 0, 0, 3, 2, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseFrameHeader(b)
		if !ok || int(h.Length) > len(b)-HeaderLen || h.Type > TypeContinuation {
			return
		}
		b = b[:HeaderLen+h.Length]
		again, err := parse(h, b[HeaderLen:])
		fr := xhttp2.NewFramer(nil, bytes.NewReader(b))
		fr.AllowIllegalReads = true
		_, their := fr.ReadFrame()
		if err == nil && their != nil {
			t.Fatalf("%x: the oracle says %v", b, their)
		}
		if err != nil && their == nil && !stricter(h.Type, err) {
			t.Fatalf("%x: %v, the oracle reads it", b, err)
		}
		if err == nil && again != nil && h.Flags&(FlagPadded|FlagPriority) == 0 {
			h2, _ := ParseFrameHeader(again)
			if h2.Type != h.Type || h2.Stream != h.Stream || !bytes.Equal(again[HeaderLen:], mask(h.Type, b[HeaderLen:])) {
				t.Fatalf("%x came back as %x", b, again)
			}
		}
	})
}

// stricter: what the oracle's framer leaves to its connection.
func stricter(t FrameType, err error) bool {
	e := err.(*Error)
	return t == TypePushPromise || strings.Contains(e.Reason, "depends on itself") || t == TypeSettings
}

// mask clears reserved bits.
func mask(t FrameType, p []byte) []byte {
	p = bytes.Clone(p)
	if t == TypeGoAway || t == TypeWindowUpdate {
		p[0] &= 0x7f
	}
	return p
}

func BenchmarkFrames(b *testing.B) {
	b.ReportAllocs()
	payload := make([]byte, 1024)
	var buf []byte
	for b.Loop() {
		buf = Data{5, true, payload}.Append(buf[:0])
		h, _ := ParseFrameHeader(buf)
		if _, err := ParseData(h, buf[HeaderLen:]); err != nil {
			b.Fatal(err)
		}
	}
}
