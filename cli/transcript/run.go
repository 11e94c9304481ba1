package transcript

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source/files"
	"github.com/weft-mesh/weft/traffic"
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
	for i := range f.Workloads {
		out = append(out, f.Workloads[i].Registration())
	}
	return out
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

// Failure is an expectation that does not hold.
type Failure struct {
	Line int
	Text string // the call, or the finding
	Want string
	Got  string
}

func (x *Failure) String() string {
	return fmt.Sprintf("line %d: %s\n  want %s\n  got  %s", x.Line, x.Text, x.Want, x.Got)
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
	return explain.Call(compile.All(s, s.Workloads[q.From]), nil, q)
}

// Compare checks the ways that a call can go against what is expected; nil: all is well. A single outcome without a share is
// that of all of them.
func Compare(c *Call, got []explain.Branch) *Failure {
	left := slices.Clone(got)
	if len(c.Outcomes) == 1 && c.Outcomes[0].Share == 0 {
		left = slices.DeleteFunc(left, func(b explain.Branch) bool { return c.Outcomes[0].Fits(&b) })
		if len(left) > 0 {
			return c.failure(c.Outcomes[0].String(), left)
		}
		return nil
	}
	for i := range c.Outcomes {
		at := slices.IndexFunc(left, func(b explain.Branch) bool { return c.Outcomes[i].share(&b) && c.Outcomes[i].Fits(&b) })
		if at < 0 {
			return c.failure(c.Outcomes[i].String(), got)
		}
		left = slices.Delete(left, at, at+1)
	}
	if len(left) > 0 {
		return c.failure("no outcome but those", left)
	}
	return nil
}

func (c *Call) failure(want string, got []explain.Branch) *Failure {
	var all []string
	times := map[string]int{}
	for i := range got {
		s := core(&got[i])
		if got[i].To != nil {
			s += " at " + got[i].To.Workload
		}
		if !c.Repeated() && len(got) == 1 {
			s += heads(&got[i])
		}
		if times[s]++; times[s] == 1 {
			all = append(all, s)
		}
	}
	for i, s := range all {
		if c.Times > 0 {
			all[i] = fmt.Sprintf("%d times %s", times[s], s)
		}
	}
	return &Failure{c.Line, c.Text, want, strings.Join(all, " | ")}
}

func (o *Outcome) share(b *explain.Branch) bool {
	return o.Share == 0 || o.Share == int(b.Share*100+0.5)
}

// Fits says whether a branch is as expected, but for its share.
func (o *Outcome) Fits(b *explain.Branch) bool {
	return o.status(b) && o.target(b.Target) && o.endpoint(b) && o.counted(b) && (o.GRPC == "" || b.GRPC == o.GRPC) && (o.Tries == 0 || b.Attempt == o.Tries) &&
		(o.Because == "" || strings.HasPrefix(Words(b.By), o.Because)) && has(o.Sees, b.Header, b.Path) && has(o.Returns, b.Returns, "") &&
		o.copies(b.Copies)
}

func (o *Outcome) status(b *explain.Branch) bool {
	switch {
	case o.Refused:
		return b.Status >= 400
	case o.OK:
		return b.Status < 400
	}
	return b.Status == o.Status
}

func (o *Outcome) copies(got []traffic.Target) bool {
	for _, c := range o.Copies {
		is := Outcome{Target: c.Service, Subset: c.Subset}
		if !slices.ContainsFunc(got, is.target) {
			return false
		}
	}
	return o.Copies == nil || len(got) == len(o.Copies)
}

func (o *Outcome) target(t traffic.Target) bool {
	return (o.Target == "" || t.Service == o.Target || strings.HasPrefix(t.Service, o.Target+".")) && (o.Subset == "" || t.Subset == o.Subset)
}

func has(want, have [][2]string, path string) bool {
	for _, w := range want {
		value, found := path, true
		if w[0] != "path" || path == "" {
			i := slices.IndexFunc(have, func(h [2]string) bool { return h[0] == w[0] })
			if found = i >= 0; found {
				value = have[i][1]
			}
		}
		if w[1] == "" && (!found || value == "") {
			continue
		}
		if !found || value != w[1] {
			return false
		}
	}
	return true
}

// Words say because of what: "AuthorizationPolicy default/x rules[0] (istio)", or "AuthorizationPolicy default/x, no rule allows
// (istio)".
func Words(v decision.Verdict) string {
	ref := v.Ref.String()
	if v.Outcome != decision.Deny || v.Reason == decision.Matched {
		return ref
	}
	if at := strings.LastIndex(ref, " ("); at > 0 {
		return ref[:at] + ", " + v.Reason.String() + ref[at:]
	}
	return ref + ", " + v.Reason.String()
}

// Describe writes a branch as a transcript would.
func Describe(b *explain.Branch) string { return core(b) + heads(b) }

// core is what became of the call, and because of what.
func core(b *explain.Branch) string {
	s := ""
	if b.Share < 1 {
		s = fmt.Sprintf("%.0f%% ", b.Share*100)
	}
	s += strconv.Itoa(b.Status)
	if b.Failed != "" {
		s += " (" + b.Failed + ")"
	}
	if b.GRPC != "" {
		s += " grpc " + b.GRPC
	}
	if b.Target.Service != "" {
		name, _, _ := strings.Cut(b.Target.Service, ".")
		s += " " + name
	}
	if b.Target.Subset != "" {
		s += " subset " + b.Target.Subset
	}
	if b.Attempt > 1 {
		s += " attempts " + strconv.Itoa(b.Attempt)
	}
	for _, c := range b.Copies {
		s += " copied to " + c.String()
	}
	s += " because " + Words(b.By)
	if b.Class != nil {
		s += " counts " + counts[b.Failure] + " by " + b.Class.String()
	}
	return s
}

var counts = map[bool]string{false: "success", true: "failure"}

// heads is what the two ends see of headers.
func heads(b *explain.Branch) (s string) {
	if b.Path != "" {
		s += " sees path=" + b.Path
	}
	for _, h := range b.Header {
		s += " " + h[0] + "=" + strconv.Quote(h[1])
	}
	for i, h := range b.Returns {
		if i == 0 {
			s += " returns"
		}
		s += " " + h[0] + "=" + strconv.Quote(h[1])
	}
	return s
}

func (o *Outcome) String() string {
	var words []string
	switch {
	case o.Refused:
		words = append(words, "refused")
	case o.OK:
		words = append(words, "ok")
	default:
		words = append(words, strconv.Itoa(o.Status))
	}
	words = append(o.Often.words(o.Share), words...)
	words = append(words, o.Target)
	if o.Subset != "" {
		words = append(words, "subset "+o.Subset)
	}
	switch {
	case o.Alike:
		words = append(words, "at one endpoint")
	case o.At != "":
		words = append(words, "at "+o.At)
	}
	if o.GRPC != "" {
		words = append(words, "grpc "+o.GRPC)
	}
	if o.Tries > 0 {
		words = append(words, fmt.Sprint("attempts ", o.Tries))
	}
	for _, c := range o.Copies {
		words = append(words, "copied to "+c.Service, strings.TrimSuffix("subset "+c.Subset, "subset "))
	}
	if o.Because != "" {
		words = append(words, "because "+o.Because)
	}
	if o.Counts != "" {
		words = append(words, "counts "+o.Counts)
	}
	if o.CountBy != "" {
		words = append(words, "by "+o.CountBy)
	}
	for name, list := range map[string][][2]string{"sees": o.Sees, "returns": o.Returns} {
		for i, p := range list {
			if i == 0 {
				words = append(words, name)
			}
			words = append(words, p[0]+"="+p[1])
		}
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// Asked is the call as explain takes it.
func (c *Call) Asked() *explain.Asked {
	a := &explain.Asked{From: c.From, To: c.To, Proto: c.Proto, Method: c.Method, URL: c.URL.String(), Header: c.Header, Source: c.At,
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
