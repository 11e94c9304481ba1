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

// unixClient speaks HTTP over a Unix socket; its connections end with their answers.
func unixClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}}
}

// errAway says that no control plane answers; another time it may.
var errAway = errors.New("no control plane answers")

// ask calls the control plane whose sockets are in state and decodes its answer into v.
func ask(ctx context.Context, state, method, path string, in, v any, header ...string) error {
	body, err := open(ctx, state, method, path, in, header...)
	if err != nil {
		return err
	}
	defer body.Close()
	if v == nil {
		_, err = io.Copy(io.Discard, body)
	} else {
		err = json.NewDecoder(body).Decode(v)
	}
	if err != nil {
		return fmt.Errorf("%w any more in %s: its answer is cut short: %w", errAway, state, err)
	}
	return nil
}

// open calls the control plane and returns its answer, which the caller closes.
func open(ctx context.Context, state, method, path string, in any, header ...string) (io.ReadCloser, error) {
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
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode == http.StatusServiceUnavailable {
		return nil, fmt.Errorf("%w in %s: %s", errAway, state, bytes.TrimSpace(b))
	}
	return nil, errors.New(strings.TrimSpace(string(b)))
}

// unreachable says what to do about a control plane that does not answer.
func unreachable(state string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the control plane in %s is another user's; name your own, or the directory that its user gave to --sockets, with --state or WEFT_STATE", state)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w in %s; start one with: weft up%s -f DIRECTORY", errAway, state, stateHint(state))
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w any more in %s: %w", errAway, state, err)
	}
	return err
}
