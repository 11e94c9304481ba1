package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/observe/stat"
)

// numbers is what all proxies counted between two looks.
type numbers struct {
	took    time.Duration
	edges   []stat.Edge
	service map[string]string // host by workload, namespace/name
	away    []string          // proxies that did not answer
}

// look asks every proxy for its numbers, by workload.
func look(ctx context.Context, state string) (map[string]*stat.Snapshot, control.Status, []string, error) {
	var status control.Status
	if err := ask(ctx, state, "GET", "/v1/status", nil, &status); err != nil {
		return nil, status, nil, err
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	out, away := map[string]*stat.Snapshot{}, []string(nil)
	for _, p := range status.Proxies {
		all.Go(func() {
			s, err := snapshotOf(ctx, p.Admin)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				away = append(away, p.Workload)
				return
			}
			out[p.Workload] = s
		})
	}
	all.Wait()
	slices.Sort(away)
	return out, status, away, nil
}

func snapshotOf(ctx context.Context, admin string) (*stat.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://proxy/stats", nil)
	if err != nil {
		return nil, err
	}
	resp, err := unixClient(admin).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", admin, resp.Status)
	}
	s := new(stat.Snapshot)
	return s, json.NewDecoder(io.LimitReader(resp.Body, 64<<20)).Decode(s)
}

// between returns what was counted in a window; none: since the proxies began.
func between(ctx context.Context, state string, window time.Duration) (*numbers, error) {
	first := map[string]*stat.Snapshot{}
	if window > 0 {
		var err error
		if first, _, _, err = look(ctx, state); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(window):
		}
	}
	return since(ctx, state, first)
}

// since returns what was counted after an earlier look.
func since(ctx context.Context, state string, before map[string]*stat.Snapshot) (*numbers, error) {
	now, status, away, err := look(ctx, state)
	if err != nil {
		return nil, err
	}
	n := &numbers{service: map[string]string{}, away: away}
	for _, p := range status.Proxies {
		n.service[p.Workload] = p.Service + "." + p.Namespace
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		s, from := now[key], now[key].Since
		if old := before[key]; old != nil && old.Since.Equal(s.Since) {
			from = old.Now
			n.edges = append(n.edges, stat.Sub(s.Edges, old.Edges)...)
		} else {
			n.edges = append(n.edges, s.Edges...)
		}
		n.took = max(n.took, s.Now.Sub(from))
	}
	return n, nil
}

// row is one line of a table: the calls of some edges, added up.
type row struct {
	Service  string        `json:"service,omitempty"`
	From     string        `json:"from,omitempty"`
	To       string        `json:"to,omitempty"`
	Calls    uint64        `json:"calls"`
	Success  float64       `json:"successRate"` // of 1; 1 without calls
	Rate     float64       `json:"requestsPerSecond"`
	P50      time.Duration `json:"p50"`
	P95      time.Duration `json:"p95"`
	P99      time.Duration `json:"p99"`
	MTLS     float64       `json:"mtlsShare"` // of 1
	Retries  uint64        `json:"retries"`
	Denied   uint64        `json:"denied"`
	Because  string        `json:"because,omitempty"` // of the latest denial or failure
	edge     stat.Edge
	security uint64
}

func (r *row) add(e *stat.Edge) {
	r.edge.Calls += e.Calls
	r.edge.Failed += e.Failed
	r.edge.Denied += e.Denied
	r.edge.Retries += e.Retries
	r.security += e.Secure
	if r.edge.Latency == nil {
		r.edge.Latency = stat.Histogram{}
	}
	r.edge.Latency.Add(e.Latency)
	r.Because = cmp.Or(e.LastDenial, e.LastFailure, r.Because)
}

func (r *row) finish(took time.Duration) {
	e := &r.edge
	r.Calls, r.Retries, r.Denied, r.Success = e.Calls, e.Retries, e.Denied, 1
	if e.Calls > 0 {
		r.Success, r.MTLS = 1-float64(e.Failed+e.Denied)/float64(e.Calls), float64(r.security)/float64(e.Calls)
	}
	if took > 0 {
		r.Rate = float64(e.Calls) / took.Seconds()
	}
	r.P50, r.P95, r.P99 = e.Latency.Quantile(.5), e.Latency.Quantile(.95), e.Latency.Quantile(.99)
}

// group adds edges up by key; the empty key leaves an edge out.
func (n *numbers) group(key func(*stat.Edge) string, name func(*row, *stat.Edge)) []*row {
	rows := map[string]*row{}
	for i := range n.edges {
		e := &n.edges[i]
		k := key(e)
		if k == "" {
			continue
		}
		if rows[k] == nil {
			rows[k] = &row{}
			name(rows[k], e)
		}
		rows[k].add(e)
	}
	var out []*row
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		rows[k].finish(n.took)
		out = append(out, rows[k])
	}
	return out
}

// seen says whether an edge is to be counted: each call inside the mesh is seen by both sides, and the caller's knows more.
func seen(e *stat.Edge) bool { return e.Reporter == "source" || e.From == "" }

// services are the rows of `weft stat`.
func (n *numbers) services() []*row {
	name := func(e *stat.Edge) string {
		if e.Service != "" {
			return strings.TrimSuffix(e.Service, ".svc.cluster.local")
		}
		return n.service[e.To]
	}
	return n.group(func(e *stat.Edge) string {
		if !seen(e) {
			return ""
		}
		return name(e)
	}, func(r *row, e *stat.Edge) { r.Service = name(e) })
}

// pairs are the rows of `weft edges`.
func (n *numbers) pairs() []*row {
	return n.group(func(e *stat.Edge) string {
		if !seen(e) {
			return ""
		}
		return e.From + "\x00" + e.To + "\x00" + e.Service
	}, func(r *row, e *stat.Edge) {
		r.From, r.To = cmp.Or(e.From, "outside"), cmp.Or(e.To, strings.TrimSuffix(e.Service, ".svc.cluster.local"), "-")
	})
}
