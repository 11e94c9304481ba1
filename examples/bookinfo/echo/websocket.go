package echo

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

const (
	maxMessage = 1 << 20         // bytes of a WebSocket message, which is held whole before it is echoed
	closeWait  = 5 * time.Second // for the peer's half of a closing handshake
)

// webSocket upgrades the connection and sends every message back (RFC 6455).
func (h *handler) webSocket(w http.ResponseWriter, r *http.Request) {
	accept, status, problem := handshake(r)
	if problem != "" {
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, problem, status)
		return
	}
	release := h.upgraded.Hold()
	defer release()
	taken, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "take over the connection: "+err.Error(), http.StatusInternalServerError)
		return
	}
	conn := h.upgraded.Keep(taken)
	defer conn.Close()
	conn.SetDeadline(time.Time{})
	head := h.switchingProtocols(accept)
	if _, err := io.WriteString(conn, head); err != nil {
		return
	}
	// What the client sent ahead of the answer stands in the server's reader.
	ahead, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	ws := &wsConn{conn, bufio.NewReader(io.MultiReader(strings.NewReader(string(ahead)), conn))}
	ws.end(ws.echo())
}

func (h *handler) switchingProtocols(accept string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + accept + "\r\n" +
		serve.ServiceHeader + ": " + h.instance.Service + "\r\n" +
		serve.VersionHeader + ": " + h.instance.Version + "\r\n" +
		serve.InstanceHeader + ": " + h.instance.Name + "\r\n\r\n"
}

// handshake checks the opening handshake of RFC 6455 section 4.2.1 and returns the Sec-WebSocket-Accept value of 4.2.2,
// or the status and words to refuse it with.
func handshake(r *http.Request) (accept string, status int, problem string) {
	key := r.Header.Get("Sec-WebSocket-Key")
	nonce, err := base64.StdEncoding.DecodeString(key)
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return "", http.StatusBadRequest, "/ws: WebSocket needs HTTP/1.1 here, got " + r.Proto
	case r.Method != http.MethodGet:
		return "", http.StatusMethodNotAllowed, "/ws: WebSocket begins with GET"
	case !hasToken(r.Header["Upgrade"], "websocket") || !hasToken(r.Header["Connection"], "upgrade"):
		return "", http.StatusUpgradeRequired, "/ws: no WebSocket upgrade asked for; did a proxy drop the Upgrade header?"
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return "", http.StatusUpgradeRequired, "/ws: want Sec-WebSocket-Version 13"
	case err != nil || len(nonce) != 16:
		return "", http.StatusBadRequest, "/ws: want Sec-WebSocket-Key to be 16 bytes in base64"
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:]), 0, ""
}

func hasToken(fields []string, token string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(fields, ","), ","), func(s string) bool {
		return strings.EqualFold(strings.TrimSpace(s), token)
	})
}

type wsConn struct {
	conn *serve.Conn
	r    *bufio.Reader // the same connection, read ahead
}

// echo sends messages back until the connection ends; it returns why.
func (c *wsConn) echo() error {
	var kind opcode // of the message under way; 0: none
	var message []byte
	for {
		f, err := readFrame(c.r, maxMessage-len(message))
		if err != nil {
			return err
		}
		if f.op.isControl() {
			if err := c.control(f); err != nil {
				return err
			}
			continue
		}
		// RFC 6455 section 5.4: a message is one frame, or a first one and continuations.
		if (f.op == opContinuation) != (kind != 0) {
			return closeError{closeProtocol, "continuation out of place"}
		}
		if f.op != opContinuation {
			kind = f.op
		}
		message = append(message, f.payload...)
		if !f.fin {
			continue
		}
		if kind == opText && !utf8.Valid(message) { // section 8.1
			return closeError{closeNotUTF8, "text is not UTF-8"}
		}
		if err := c.send(kind, message); err != nil {
			return err
		}
		kind, message = 0, message[:0]
	}
}

// control answers a ping (RFC 6455 section 5.5.3) and ends the loop at a close.
func (c *wsConn) control(f frame) error {
	switch f.op {
	case opPing:
		return c.send(opPong, f.payload)
	case opClose:
		return closeRequest(f.payload)
	}
	return nil // a pong needs no answer
}

// end says why the connection ends, as far as the peer is there to hear it (RFC 6455 section 7.1).
func (c *wsConn) end(err error) {
	var because closeError
	switch {
	case errors.As(err, &because):
	case errors.Is(err, os.ErrDeadlineExceeded):
		because = closeError{closeGoingAway, "the server is ending"}
	default:
		return // the peer is gone
	}
	if c.send(opClose, because.payload()) != nil || because.fromPeer() {
		return
	}
	c.conn.SetReadDeadline(time.Now().Add(closeWait))
	for { // the peer's own close comes after what it had sent
		f, err := readFrame(c.r, maxMessage)
		if err != nil || f.op == opClose {
			return
		}
	}
}

func (c *wsConn) send(op opcode, payload []byte) error {
	_, err := c.conn.Write(appendFrame(nil, op, payload))
	return err
}
