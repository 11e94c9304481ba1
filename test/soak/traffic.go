package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/internal/proctest"
)

const (
	callers = 3                    // of each kind
	pause   = 5 * time.Millisecond // between the calls of one
	most    = 30 * time.Second     // for a call
	talks   = 20                   // messages of a connection that lasts, about as many times pause apart
)

// kind is one sort of traffic, and how it went.
type kind struct {
	name   string
	do     func(context.Context) error
	run    sync.WaitGroup
	mu     sync.Mutex
	calls  int
	failed int
	first  error
}

// call starts traffic of every kind; what is under way when ctx ends may finish.
func (s *soak) call(ctx context.Context) {
	kept, anew, h2 := &http.Transport{MaxIdleConnsPerHost: callers}, &http.Transport{DisableKeepAlives: true}, proctest.HTTP2()
	conn, err := grpc.NewClient("passthrough:"+s.ways[grpcPort], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.trouble(err)
		return
	}
	s.kinds = []*kind{
		{name: "HTTP/1.1", do: s.post(kept)},
		{name: "HTTP/1.1, one each", do: s.post(anew)},
		{name: "HTTP/2", do: s.post(h2)},
		{name: "gRPC unary", do: func(ctx context.Context) error {
			got, err := echo.Unary(ctx, conn, "hello")
			return same(got, "hello", err)
		}},
		{name: "gRPC streams", do: func(ctx context.Context) error { return stream(ctx, conn) }},
		{name: "WebSocket", do: s.webSocket},
		{name: "TCP", do: s.tcp},
	}
	for _, k := range s.kinds {
		for range callers {
			k.run.Go(func() { k.again(ctx) })
		}
	}
	context.AfterFunc(ctx, func() {
		for _, k := range s.kinds {
			k.run.Wait()
		}
		kept.CloseIdleConnections()
		h2.CloseIdleConnections()
		conn.Close()
	})
}

func (k *kind) again(ctx context.Context) {
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
		err := k.do(one)
		cancel()
		k.mu.Lock()
		if k.calls++; err != nil {
			if k.failed++; k.first == nil {
				k.first = err
			}
		}
		k.mu.Unlock()
		time.Sleep(pause)
	}
}

func same(got, want string, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("%.60q came back, not %q", got, want)
	}
	return err
}

// post calls by a request that no client makes twice.
func (s *soak) post(tr *http.Transport) func(context.Context) error {
	c := &http.Client{Transport: tr}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.ways[httpPort]+"/echo", io.NopCloser(strings.NewReader("hello")))
		if err != nil {
			return err
		}
		req.ContentLength = 5
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if n, bad := strconv.ParseInt(resp.Header.Get("x-soak"), 10, 64); bad == nil {
			s.seen.Store(max(s.seen.Load(), n))
		}
		if resp.StatusCode != http.StatusOK {
			return errors.Join(err, fmt.Errorf("%s: %.300s %v", resp.Status, b, resp.Header))
		}
		return same(string(b), "hello", err)
	}
}

func stream(ctx context.Context, conn *grpc.ClientConn) error {
	s, err := echo.BidiStream(ctx, conn)
	if err != nil {
		return err
	}
	for i := range talks {
		text := fmt.Sprint("message ", i)
		if err := s.Send(wrapperspb.String(text)); err != nil {
			return err
		}
		got, err := s.Recv()
		if err = same(got.GetValue(), text, err); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); err != io.EOF {
		return fmt.Errorf("ended with %w", err)
	}
	return nil
}

// dial connects to a port of front; the context ends the connection.
func (s *soak) dial(ctx context.Context, port string) (net.Conn, func(), error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.ways[port])
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return c, func() { stop(); c.Close() }, nil
}

func (s *soak) tcp(ctx context.Context) error {
	c, end, err := s.dial(ctx, tcpPort)
	if err != nil {
		return err
	}
	defer end()
	for i := range talks {
		text := fmt.Sprint("message ", i)
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		b := make([]byte, len(text))
		_, err := io.ReadFull(c, b)
		if err = same(string(b), text, err); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return nil
}

func (s *soak) webSocket(ctx context.Context) error {
	c, end, err := s.dial(ctx, httpPort)
	if err != nil {
		return err
	}
	defer end()
	r := bufio.NewReader(c)
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: front\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return errors.New(resp.Status)
	}
	for i := range talks {
		text := fmt.Sprint("message ", i)
		if _, err := c.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)); err != nil { // the mask 0 changes nothing
			return err
		}
		b := make([]byte, 2+len(text))
		_, err := io.ReadFull(r, b)
		if err = same(string(b[2:]), text, err); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	_, err = c.Write(binary.BigEndian.AppendUint16([]byte{0x88, 0x82, 0, 0, 0, 0}, 1000))
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return err
}
