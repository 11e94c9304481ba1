package transcript

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/traffic"
)

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

// Tally checks what became of a call that was made several times, or beside others; nil: all is well.
func (c *Call) Tally(got []explain.Branch) *Failure {
	hits := make([][]*explain.Branch, len(c.Outcomes))
	for i := range got {
		o := 0
		for o < len(c.Outcomes) && !c.Outcomes[o].Fits(&got[i]) {
			o++
		}
		if o == len(c.Outcomes) {
			return c.failure(c.wanted(), got)
		}
		hits[o] = append(hits[o], &got[i])
	}
	for i := range c.Outcomes {
		if o := &c.Outcomes[i]; !o.Had(len(hits[i]), len(got)) || o.Alike && !alike(hits[i]) {
			return c.failure(o.String(), got)
		}
	}
	return nil
}

// Had says whether hits of n calls are as often as the outcome says. A share may be missed by five standard deviations, which
// chance does once in two million times.
func (o *Outcome) Had(hits, n int) bool {
	switch p := float64(o.Share) / 100; {
	case o.Share > 0:
		return math.Abs(float64(hits)-p*float64(n)) <= 5*math.Sqrt(p*(1-p)*float64(n))
	case o.Often.Times == 0:
		return hits > 0
	case o.Often.Least:
		return hits >= o.Often.Times
	case o.Often.Most:
		return hits <= o.Often.Times
	}
	return hits == o.Often.Times
}

func alike(all []*explain.Branch) bool {
	for _, b := range all {
		if b.To == nil || b.To.Workload != all[0].To.Workload {
			return false
		}
	}
	return true
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

func (c *Call) wanted() string {
	var all []string
	for i := range c.Outcomes {
		all = append(all, c.Outcomes[i].String())
	}
	return strings.Join(all, " | ")
}

// Fits says whether a branch is as expected, but for its share.
func (o *Outcome) Fits(b *explain.Branch) bool {
	return o.status(b) && o.target(b.Target) && o.endpoint(b) && o.counted(b) && (o.GRPC == "" || b.GRPC == o.GRPC) && (o.Tries == 0 || b.Attempt == o.Tries) &&
		(o.Because == "" || strings.HasPrefix(Words(b.By), o.Because)) && has(o.Sees, b.Header, b.Path) && has(o.Returns, b.Returns, "") &&
		o.copies(b.Copies)
}

func (o *Outcome) share(b *explain.Branch) bool {
	return o.Share == 0 || o.Share == int(b.Share*100+0.5)
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

func (o *Outcome) target(t traffic.Target) bool {
	return (o.Target == "" || t.Service == o.Target || strings.HasPrefix(t.Service, o.Target+".")) && (o.Subset == "" || t.Subset == o.Subset)
}

func (o *Outcome) endpoint(b *explain.Branch) bool {
	return o.At == "" || b.To != nil && (b.To.Workload == o.At || b.To.Workload == "default/"+o.At)
}

func (o *Outcome) counted(b *explain.Branch) bool {
	return o.Counts == "" || b.Failure == (o.Counts == "failure") && (o.CountBy == "" || strings.HasPrefix(b.Class.String(), o.CountBy))
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

func has(want, have [][2]string, path string) bool {
	for _, w := range want {
		values := []string{path}
		if w[0] != "path" || path == "" {
			values = valuesOf(have, w[0])
		}
		if w[1] == "" && (len(values) == 0 || values[0] == "") {
			continue
		}
		if len(values) == 0 || values[0] != w[1] && strings.Join(values, ",") != w[1] {
			return false
		}
	}
	return true
}

func valuesOf(headers [][2]string, name string) (out []string) {
	for _, h := range headers {
		if h[0] == name {
			out = append(out, h[1])
		}
	}
	return out
}
