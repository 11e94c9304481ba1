package proctest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/internal/sys"
)

// Proxy finds the one of the first workload of a service: the Unix socket on which it answers questions, and its process.
func (m *Mesh) Proxy(ctx context.Context, service string) (socket string, pid int, err error) {
	out, err := m.Command(ctx, "status", "-o", "json")
	if err != nil {
		return "", 0, err
	}
	var s control.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return "", 0, fmt.Errorf("weft status: %w", err)
	}
	for _, p := range s.Proxies {
		if p.Service == service {
			pid, err := listensAt(p.Admin)
			return p.Admin, pid, err
		}
	}
	return "", 0, fmt.Errorf("weft status knows no proxy of %s:\n%s", service, out)
}

// listensAt is the process that listens on a Unix socket.
func listensAt(path string) (pid int, err error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_, _, pid, err = sys.PeerCred(c.(*net.UnixConn))
	return pid, err
}

// Metrics asks a proxy, at its Unix socket, for its metrics: value by name and labels, as the proxy writes them.
func Metrics(ctx context.Context, socket string) (map[string]float64, error) {
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://proxy/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("a proxy asked for metrics answers " + resp.Status)
	}
	out := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		i := strings.LastIndexByte(lines.Text(), ' ')
		if i < 0 || lines.Text()[0] == '#' {
			continue
		}
		if n, err := strconv.ParseFloat(lines.Text()[i+1:], 64); err == nil {
			out[lines.Text()[:i]] = n
		}
	}
	return out, lines.Err()
}
