package transcript

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source/files"
)

// Now is when transcripts take place.
var Now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// TrustDomain is theirs.
const TrustDomain = "cluster.local"

// Objects parses the configuration.
func (f *File) Objects() (objects []*dialect.Object, found []dialect.Located) {
	kinds := all.Kinds(TrustDomain)
	for i, c := range f.Configs {
		o, l := files.Parse(kinds, c.Name, c.Data, Now.Add(time.Duration(i)*time.Second))
		objects, found = append(objects, o...), append(found, l...)
	}
	return objects, found
}

// Registrations are the workloads as the control plane knows them.
func (f *File) Registrations() (out []control.Registration) {
	for _, w := range f.Running() {
		out = append(out, w.Registration())
	}
	return out
}

// Running is the workloads, and a proxy of each gateway that calls come to.
func (f *File) Running() []Workload {
	out, seen := slices.Clone(f.Workloads), map[string]bool{}
	for c := range f.calls {
		if c.Via != "" && !seen[c.Via] {
			out, seen[c.Via] = append(out, ProxyOf(c.Via)), true
		}
	}
	return out
}

// ProxyOf is a proxy of a gateway, as weft would run it.
func ProxyOf(gateway string) Workload {
	ns, name, ok := strings.Cut(gateway, "/")
	if !ok {
		ns, name = "default", gateway
	}
	account, labels := all.Proxy(name)
	return Workload{Namespace: ns, Name: account, Account: account, Gateway: ns + "/" + name, Labels: labels}
}

// calls yields all that are made, in order or not.
func (f *File) calls(yield func(*Call) bool) {
	for i := range f.Calls {
		if !yield(&f.Calls[i]) {
			return
		}
	}
	for _, order := range f.Orders {
		for i := range order {
			if c := order[i].Call; c != nil && !yield(c) {
				return
			}
		}
	}
}

// Registration is the workload as `weft run` would register it.
func (w *Workload) Registration() control.Registration {
	r := control.Registration{Name: w.Name, Namespace: w.Namespace, Service: w.Service, Version: w.Version, Account: w.Account, Labels: w.Labels,
		Trusted: w.Trusted}
	for _, p := range w.Ports {
		r.Ports = append(r.Ports, control.Port{Number: p, Protocol: cmp.Or(w.Protocols[p], w.Protocol, "http")})
	}
	return r
}

// Load makes the mesh.
func (f *File) Load() *control.View {
	objects, found := f.Objects()
	var workloads []*control.Workload
	for i, r := range f.Registrations() {
		workloads = append(workloads, control.Simulated(r, i+1, Now))
	}
	return control.Load(TrustDomain, objects, found, workloads)
}

// Run judges every call by decision alone, and compares findings. It returns how many expectations there were.
func (f *File) Run() (n int, failed []Failure, err error) {
	if len(f.Calls) == 0 && len(f.Orders) == 0 && !f.Checked {
		return 0, nil, fmt.Errorf("%s: there is neither a section \"-- calls --\" nor \"-- calls in order --\" nor \"-- findings --\": nothing would be tested; see weft test --help", f.Name)
	}
	v := f.Load()
	for i := range f.Calls {
		n++
		x, err := f.judge(v.Mesh, &f.Calls[i])
		if err != nil {
			return n, failed, fmt.Errorf("%s:%d: %w", f.Name, f.Calls[i].Line, err)
		}
		if x != nil {
			failed = append(failed, *x)
		}
	}
	for _, order := range f.Orders {
		bad, err := f.order(NewSession(v.Mesh), order)
		if err != nil {
			return n, failed, err
		}
		for _, x := range order {
			if x.Call != nil {
				n++
			}
		}
		failed = append(failed, bad...)
	}
	if f.Checked {
		n++
		failed = append(failed, f.CheckFindings(v.Findings)...)
	}
	return n, failed, nil
}

func (f *File) order(s *Session, order []Step) (failed []Failure, err error) {
	for i := range order {
		x := &order[i]
		got, err := s.Do(x)
		if err != nil {
			return failed, fmt.Errorf("%s:%d: %w", f.Name, x.Line, err)
		}
		if x.Call == nil {
			continue
		}
		if bad := x.Call.Tally(got); bad != nil {
			failed = append(failed, *bad)
		}
	}
	return failed, nil
}

func (f *File) judge(s *mesh.Snapshot, c *Call) (*Failure, error) {
	if c.Repeated() {
		got, err := NewSession(s).Do(&Step{Call: c})
		if err != nil {
			return nil, err
		}
		return c.Tally(got), nil
	}
	got, err := Judge(s, c)
	if err != nil {
		return nil, err
	}
	return Compare(c, got), nil
}

// Judge decides about a call in a mesh: every way that it can go.
func Judge(s *mesh.Snapshot, c *Call) ([]explain.Branch, error) {
	q, err := c.Asked().Query(s)
	if err != nil {
		return nil, err
	}
	return explain.Call(compile.All(s, s.Workloads.Get(q.Caller())), q)
}

// Asked is the call as explain takes it.
func (c *Call) Asked() *explain.Asked {
	a := &explain.Asked{From: c.From, To: c.To, Via: c.Via, Proto: c.Proto, Method: c.Method, URL: c.URL.String(), Header: c.Header, Source: c.At,
		Status: c.Status, Fail: c.Fail, Takes: c.Takes, Now: Now}
	if c.From == Outside {
		a.From = ""
	}
	return a
}

// CheckFindings compares findings with those expected: each expected line has to be there, and no other warning or error.
func (f *File) CheckFindings(got []dialect.Located) (failed []Failure) {
	left := slices.DeleteFunc(slices.Clone(got), func(l dialect.Located) bool { return l.Level == mesh.Info })
	for _, x := range f.Findings {
		is := func(l dialect.Located) bool {
			return strings.HasPrefix(l.Position.String(), x.Place) && strings.Contains(l.Finding.String(), x.Text)
		}
		if i := slices.IndexFunc(left, is); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else if !slices.ContainsFunc(got, is) {
			failed = append(failed, Failure{x.Line, x.Place, x.Text, "no such finding"})
		}
	}
	for _, l := range left {
		failed = append(failed, Failure{0, l.Position.String(), "no such finding", l.Level.String() + ": " + l.Finding.String()})
	}
	return failed
}
