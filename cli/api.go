package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// unixClient speaks HTTP over a Unix socket.
func unixClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}}
}

// ask calls the control plane whose state is in dir and decodes its answer into v; v nil: the body is returned.
func ask(ctx context.Context, state, method, path string, in, v any, header ...string) (io.ReadCloser, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://weft"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := unixClient(apiSocket(state)).Do(req)
	if err != nil {
		return nil, unreachable(state, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return nil, errors.New(strings.TrimSpace(string(b)))
	}
	if v == nil {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, json.NewDecoder(resp.Body).Decode(v)
}

// unreachable says what to do about a control plane that does not answer.
func unreachable(state string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no control plane answers in %s; start one with: weft up -f DIRECTORY", state)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the control plane in %s is another user's; set --state or WEFT_STATE", state)
	}
	return err
}
