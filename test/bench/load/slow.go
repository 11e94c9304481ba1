package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Slow asks for 1 GB and reads it at about 10 MB/s, until ctx ends; it calls reading when the answer has begun.
func Slow(ctx context.Context, s *Spec, reading func()) error {
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", BigPath, s.Host); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != bigSize {
		return fmt.Errorf("%s with %d bytes", resp.Status, resp.ContentLength)
	}
	reading()
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		_, err := io.CopyN(io.Discard, resp.Body, 100<<10)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("1 GB was too little for the time")
		case err != nil:
			return err
		}
	}
}
