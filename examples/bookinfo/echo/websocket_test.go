package echo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/websocket"
)

// upgrade opens a WebSocket by hand, with the example key of RFC 6455 section 1.3.
func upgrade(t *testing.T, addr net.Addr, ahead ...byte) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := dial(t, addr)
	_, err := conn.Write(append([]byte("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"), ahead...))
	must(t, err)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	must(t, err)
	// "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" is the answer to that key in the RFC's example.
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("answer %s %v", resp.Status, resp.Header)
	}
	if resp.Header.Get("X-Bookinfo-Instance") != "backend-1" {
		t.Errorf("answer names nobody: %v", resp.Header)
	}
	return conn, r
}

// masked makes a client's frame; first is its first byte: FIN, reserved bits, opcode.
func masked(first byte, payload string) []byte {
	b := appendFrame(nil, 0, []byte(payload))
	head := len(b) - len(payload)
	key := []byte{0x37, 0xfa, 0x21, 0x3d}
	b[0], b[1] = first, b[1]|0x80
	out := append(append([]byte{}, b[:head]...), key...)
	for i, c := range []byte(payload) {
		out = append(out, c^key[i&3])
	}
	return out
}

// readServerFrame reads a server's frame, which is whole and not masked.
func readServerFrame(t *testing.T, r io.Reader) (opcode, string) {
	t.Helper()
	var head [2]byte
	_, err := io.ReadFull(r, head[:])
	must(t, err)
	if head[0]&0xf0 != 0x80 || head[1]&0x80 != 0 {
		t.Fatalf("frame begins with % x", head)
	}
	size, err := readLength(r, head[1])
	must(t, err)
	payload := make([]byte, size)
	_, err = io.ReadFull(r, payload)
	must(t, err)
	return opcode(head[0] & 0x0f), string(payload)
}

func closePayload(code uint16) string { return string(binary.BigEndian.AppendUint16(nil, code)) }

func TestWebSocketSendsMessagesBack(t *testing.T) {
	s := start(t, Options{})
	conn, r := upgrade(t, s.HTTP.Addr(), masked(0x81, "ahead of the answer")...)
	want := func(op opcode, payload string) {
		t.Helper()
		if gotOp, got := readServerFrame(t, r); gotOp != op || got != payload {
			t.Errorf("got %d %.80q, want %d %.80q", gotOp, got, op, payload)
		}
	}
	want(opText, "ahead of the answer")
	for _, size := range []int{0, 125, 126, 65535, 65536, maxMessage} { // each form of the length (section 5.2)
		text := strings.Repeat("x", size)
		conn.Write(masked(0x82, text))
		want(opBinary, text)
	}
	// Section 5.4: "an endpoint MUST be capable of handling control frames in the middle of a fragmented message".
	conn.Write(masked(0x01, "ä"[:1]))
	conn.Write(masked(0x89, "are you there"))
	conn.Write(masked(0x00, "ä"[1:]))
	conn.Write(masked(0x8a, "an answer to nothing"))
	conn.Write(masked(0x80, "!"))
	want(opPong, "are you there")
	want(opText, "ä!")
	// Section 5.5.1: "the endpoint typically echos the status code it received".
	conn.Write(masked(0x88, closePayload(3001)+"bye"))
	want(opClose, closePayload(3001))
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the close: %v", err)
	}
}

func TestWebSocketSaysWhatIsWrong(t *testing.T) {
	s := start(t, Options{})
	tooLong := masked(0x82, "")
	tooLong[1] = 0xff // 64-bit length follows
	tooLong = binary.BigEndian.AppendUint64(tooLong[:2], 1<<62)
	for name, c := range map[string]struct {
		bytes []byte
		code  uint16
	}{
		"reserved bit":              {masked(0xc1, "x"), 1002},
		"unknown opcode":            {masked(0x83, "x"), 1002},
		"unknown control":           {masked(0x8b, "x"), 1002},
		"not masked":                {appendFrame(nil, opText, []byte("x")), 1002},
		"fragmented control":        {masked(0x09, "x"), 1002},
		"long control":              {masked(0x89, strings.Repeat("x", 126)), 1002},
		"nothing to continue":       {masked(0x80, "x"), 1002},
		"new message inside one":    {append(masked(0x01, "x"), masked(0x81, "y")...), 1002},
		"text not UTF-8":            {masked(0x81, "\xff"), 1007},
		"message too big":           {masked(0x82, strings.Repeat("x", maxMessage+1)), 1009},
		"pieces too big":            {append(masked(0x02, strings.Repeat("x", maxMessage)), masked(0x80, "x")...), 1009},
		"length beyond everything":  {tooLong, 1009},
		"close of one byte":         {masked(0x88, "x"), 1002},
		"close code never sent":     {masked(0x88, closePayload(1005)), 1002},
		"close code out of range":   {masked(0x88, closePayload(999)), 1002},
		"close reason not UTF-8":    {masked(0x88, closePayload(1000)+"\xff"), 1007},
		"close code given back":     {masked(0x88, closePayload(1000)), 1000},
		"private close, given back": {masked(0x88, closePayload(4999)), 4999},
	} {
		t.Run(name, func(t *testing.T) {
			conn, r := upgrade(t, s.HTTP.Addr())
			go conn.Write(c.bytes)
			op, payload := readServerFrame(t, r)
			if op != opClose || len(payload) < 2 || binary.BigEndian.Uint16([]byte(payload)) != c.code {
				t.Errorf("got %d %q, want a close with %d", op, payload, c.code)
			}
		})
	}
}

// Section 5.5.1: a close frame may come without a code; then the answer has none.
func TestWebSocketCloseWithoutCode(t *testing.T) {
	conn, r := upgrade(t, start(t, Options{}).HTTP.Addr())
	conn.Write(masked(0x88, ""))
	if op, payload := readServerFrame(t, r); op != opClose || payload != "" {
		t.Errorf("got %d %q", op, payload)
	}
}

func TestWebSocketRefusesOtherHandshakes(t *testing.T) {
	s := start(t, Options{})
	client := httpClient(t, false)
	good := http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	for _, c := range []struct {
		method, name, value string
		status              int
	}{
		{"POST", "X", "y", 405},
		{"GET", "Upgrade", "h2c", 426},
		{"GET", "Connection", "close", 426},
		{"GET", "Sec-Websocket-Version", "8", 426}, // section 4.4: the answer says which version is spoken
		{"GET", "Sec-Websocket-Key", "c2hvcnQ=", 400},
		{"GET", "Sec-Websocket-Key", "%%%", 400},
	} {
		r, err := http.NewRequest(c.method, "http://"+s.HTTP.Addr().String()+"/ws", nil)
		must(t, err)
		r.Header = good.Clone()
		r.Header.Set(c.name, c.value)
		resp, err := client.Do(r)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != c.status || resp.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("%s %s: %s: %d %v, want %d", c.method, c.name, c.value, resp.StatusCode, resp.Header, c.status)
		}
	}
	resp, err := httpClient(t, true).Get("http://" + s.HTTP.Addr().String() + "/ws")
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("over HTTP/2: %d, want 400", resp.StatusCode)
	}
}

// A client written by others.
func TestWebSocketAgainstXNet(t *testing.T) {
	addr := start(t, Options{}).HTTP.Addr().String()
	ws, err := websocket.Dial("ws://"+addr+"/ws", "", "http://"+addr)
	must(t, err)
	defer ws.Close()
	for _, text := range []string{"", "hello", strings.Repeat("long ", 50_000)} {
		must(t, websocket.Message.Send(ws, text))
		var got string
		if err := websocket.Message.Receive(ws, &got); err != nil || got != text {
			t.Errorf("sent %d bytes, got %d, %v", len(text), len(got), err)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(masked(0x81, "Hello"))
	f.Add(masked(0x88, closePayload(1000)))
	f.Add(masked(0x82, strings.Repeat("x", 300)))
	f.Add([]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 10
		got, err := readFrame(bytes.NewReader(b), limit)
		if err != nil {
			return
		}
		if len(got.payload) > limit || !got.op.known() || got.op.isControl() && (!got.fin || len(got.payload) > 125) {
			t.Errorf("accepted %+v", got)
		}
		if got.op == opClose {
			closeRequest(got.payload)
		}
		if got.fin { // what is sent back, masked again, reads the same
			again, err := readFrame(bytes.NewReader(masked(0x80|byte(got.op), string(got.payload))), limit)
			if err != nil || again.op != got.op || !bytes.Equal(again.payload, got.payload) {
				t.Errorf("%+v became %+v, %v", got, again, err)
			}
		}
	})
}
