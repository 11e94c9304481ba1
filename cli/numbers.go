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
	service map[string]string // by workload: NAME.NAMESPACE
	away    []string          // proxies that did not answer
	lost    uint64            // calls that proxies could not count
	now     map[string]*stat.Snapshot
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
	return count(before, now, status.Proxies, away), nil
}

// count subtracts an earlier look from a later one. A proxy that has begun anew since counts from its beginning.
func count(before, now map[string]*stat.Snapshot, proxies []control.ProxyAddr, away []string) *numbers {
	n := &numbers{service: map[string]string{}, away: away, now: now}
	for _, p := range proxies {
		if p.Service != "" {
			n.service[p.Workload] = p.Service + "." + p.Namespace
		}
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		s, from, mine := now[key], now[key].Since, len(n.edges)
		if old := before[key]; old != nil && old.Since.Equal(s.Since) {
			from = old.Now
			n.edges = append(n.edges, stat.Sub(s.Edges, old.Edges)...)
			n.lost += s.Lost - min(old.Lost, s.Lost)
		} else {
			n.edges = append(n.edges, s.Edges...)
			n.lost += s.Lost
		}
		for i := range n.edges[mine:] { // who came to a gateway is not of the mesh, and calls by it
			if e := &n.edges[mine+i]; e.Reporter == "source" {
				e.From = cmp.Or(e.From, key)
			}
		}
		n.took = max(n.took, s.Now.Sub(from))
	}
	return n
}

// row is one line of a table: the calls of some edges, added up.
type row struct {
	Service string  `json:"service,omitempty"`
	From    string  `json:"from,omitempty"`
	To      string  `json:"to,omitempty"`
	Calls   uint64  `json:"calls"`
	Success float64 `json:"successRate"` // of 1; 1 without calls
	Rate    float64 `json:"requestsPerSecond"`
	P50     float64 `json:"p50Milliseconds"`
	P95     float64 `json:"p95Milliseconds"`
	P99     float64 `json:"p99Milliseconds"`
	MTLS    float64 `json:"mtlsShare"` // of 1
	Retries uint64  `json:"retries"`
	Failed  uint64  `json:"failed"`
	Denied  uint64  `json:"denied"`            // by a policy
	Because string  `json:"because,omitempty"` // of a denial or failure among these calls, the latest of its edge
	edge    stat.Edge
}

func (r *row) add(e *stat.Edge) {
	r.edge.Calls += e.Calls
	r.edge.Failed += e.Failed
	r.edge.Denied += e.Denied
	r.edge.Retries += e.Retries
	r.edge.Secure += e.Secure
	if r.edge.Latency == nil {
		r.edge.Latency = stat.Histogram{}
	}
	r.edge.Latency.Add(e.Latency)
	switch { // an edge remembers longer than the window
	case e.Denied > 0:
		r.Because = oneLine(e.LastDenial)
	case e.Failed > 0:
		r.Because = oneLine(e.LastFailure)
	}
}

// oneLine keeps an error of several parts in its cell of a table.
func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", ": ") }

func (r *row) finish(took time.Duration) {
	e := &r.edge
	r.Calls, r.Retries, r.Failed, r.Denied, r.Success = e.Calls, e.Retries, e.Failed, e.Denied, 1
	if e.Calls > 0 {
		r.Success, r.MTLS = 1-float64(min(e.Failed+e.Denied, e.Calls))/float64(e.Calls), float64(e.Secure)/float64(e.Calls)
	}
	if took > 0 {
		r.Rate = float64(e.Calls) / took.Seconds()
	}
	at := func(q float64) float64 { return float64(e.Latency.Quantile(q)) / float64(time.Millisecond) }
	r.P50, r.P95, r.P99 = at(.5), at(.95), at(.99)
}

// group adds edges up by key; the empty key leaves an edge out. The rows in rows are there even without a call.
func (n *numbers) group(rows map[string]*row, key func(*stat.Edge) string, name func(*row, *stat.Edge)) []*row {
	for i := range n.edges {
		e := &n.edges[i]
		k := key(e)
		if k == "" || !n.counts(e) || e.Calls == 0 {
			continue
		}
		if rows[k] == nil {
			rows[k] = &row{}
			name(rows[k], e)
		}
		rows[k].add(e)
	}
	out := []*row{}
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		rows[k].finish(n.took)
		out = append(out, rows[k])
	}
	return out
}

// counts says whether an edge is to be counted: each call inside the mesh is seen by both sides, and the caller's knows more. Of
// calls from outside, and of callers that are gone with their numbers, the callee tells.
func (n *numbers) counts(e *stat.Edge) bool {
	return e.Reporter == "source" || n.now[e.From] == nil
}

// called is the service of an edge: the one that was called, or, from outside of the mesh, the workload's.
func (n *numbers) called(e *stat.Edge) string {
	if e.Service != "" {
		return short(e.Service)
	}
	return n.service[e.To]
}

func short(host string) string { return strings.TrimSuffix(host, ".svc.cluster.local") }

// services are the rows of `weft stat`: those that were called, and those that have workloads.
func (n *numbers) services() []*row {
	rows := map[string]*row{}
	for _, s := range n.service {
		rows[s] = &row{Service: s}
	}
	return n.group(rows, n.called, func(r *row, e *stat.Edge) { r.Service = n.called(e) })
}

// pairs are the rows of `weft edges`.
func (n *numbers) pairs() []*row {
	return n.group(map[string]*row{}, func(e *stat.Edge) string { return e.From + "\x00" + e.To + "\x00" + e.Service },
		func(r *row, e *stat.Edge) {
			r.From, r.To = cmp.Or(e.From, "outside"), cmp.Or(e.To, short(e.Service), "-")
		})
}

// remarks says what a table does not show.
func (n *numbers) remarks(w io.Writer) {
	for _, a := range n.away {
		fmt.Fprintf(w, "the proxy of %s does not answer: its numbers are missing\n", a)
	}
	if n.lost > 0 {
		fmt.Fprintf(w, "without a row: %s of proxies that saw too many pairs of workloads\n", counted(int(n.lost), "call"))
	}
}
