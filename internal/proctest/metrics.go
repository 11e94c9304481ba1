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
)

// Admin is the Unix socket on which the proxy of the first workload of a service answers questions.
func (m *Mesh) Admin(ctx context.Context, service string) (string, error) {
	out, err := m.Command(ctx, "status", "-o", "json")
	if err != nil {
		return "", err
	}
	var s control.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return "", fmt.Errorf("weft status: %w", err)
	}
	for _, p := range s.Proxies {
		if p.Service == service {
			return p.Admin, nil
		}
	}
	return "", fmt.Errorf("weft status knows no proxy of %s:\n%s", service, out)
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
