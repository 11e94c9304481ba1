package transcript

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/mesh"
)

// inOrder names the sections whose calls know of each other.
const inOrder = "calls in order"

// Step is a line of calls in order: a call, or time that passes, or a workload whose application answers otherwise from now on.
type Step struct {
	Line     int
	Call     *Call
	After    time.Duration
	Workload string
	App      explain.App
}

// A transcript is for behaviour; what takes many calls belongs into a benchmark.
const (
	maxTimes  = 1000
	maxBeside = 100
	maxAfter  = 24 * time.Hour
)

const stepForm = callForm + ", after DURATION, or WORKLOAD answers STATUS, WORKLOAD takes DURATION, WORKLOAD refuses"

func (f *File) step(n int, words []string) error {
	order := &f.Orders[len(f.Orders)-1]
	x, err := Step{Line: n}, error(nil)
	switch {
	case words[0] == "from":
		single := File{}
		err = single.call(n, words)
		if len(single.Calls) > 0 {
			x.Call = &single.Calls[0]
		}
	case words[0] == "after" && len(words) == 2:
		x.After, err = duration(words[1])
	case len(words) == 3 && words[1] == "answers":
		x.Workload = words[0]
		x.App.Status, err = number(words[2], 599)
	case len(words) == 3 && words[1] == "takes":
		x.Workload = words[0]
		x.App.Takes, err = duration(words[2])
	case len(words) == 2 && words[1] == "refuses":
		x.Workload, x.App.Refuses = words[0], true
	default:
		err = errors.New(stepForm)
	}
	*order = append(*order, x)
	return err
}

func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxAfter {
		err = fmt.Errorf("%q: want a time of up to %v, as 30s", text, maxAfter)
	}
	return d, err
}

func number(text string, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		err = fmt.Errorf("%q: want a number of 1 to %d", text, most)
	}
	return n, err
}

// Often is how often an outcome is to be had: so many times, or at least or at most so many. Zero: at least once.
type Often struct {
	Times       int
	Least, Most bool
}

func (t Often) words(share int) []string {
	switch {
	case share > 0:
		return []string{strconv.Itoa(share) + "%"}
	case t.Times == 0:
		return nil
	case t.Least:
		return []string{"at least", strconv.Itoa(t.Times), "times"}
	case t.Most:
		return []string{"at most", strconv.Itoa(t.Times), "times"}
	}
	return []string{strconv.Itoa(t.Times), "times"}
}

// howOften reads a share or a count from an outcome's beginning, and returns the words behind it.
func (o *Outcome) howOften(words []string) (rest []string, err error) {
	if len(words) > 0 && strings.HasSuffix(words[0], "%") {
		o.Share, err = number(strings.TrimSuffix(words[0], "%"), 100)
		return words[1:], err
	}
	if len(words) > 1 && words[0] == "at" && (words[1] == "least" || words[1] == "most") {
		o.Often.Least, o.Often.Most = words[1] == "least", words[1] == "most"
		words = words[2:]
	}
	if len(words) < 2 || words[1] != "times" && words[1] != "time" {
		if o.Often.Least || o.Often.Most {
			return nil, errors.New("want at least N times, or at most N times")
		}
		return words, nil
	}
	o.Often.Times, err = number(words[0], maxTimes)
	return words[2:], err
}

// often says whether the numbers of a call's outcomes can be.
func (c *Call) often() error {
	sum, exact := 0, true
	for i := range c.Outcomes {
		o := &c.Outcomes[i]
		if c.Times == 0 && (o.Often.Times > 0 || o.Alike) {
			return errors.New("the outcome is of several calls: how many of them are made, times=N says")
		}
		sum += o.Often.Times
		exact = exact && o.Often.Times > 0 && !o.Often.Least && !o.Often.Most
	}
	if exact && sum != c.Times {
		return fmt.Errorf("the outcomes are of %d calls, and times=%d", sum, c.Times)
	}
	return nil
}

func (o *Outcome) at(rest []string) (n int, err error) {
	switch {
	case len(rest) == 0:
		return 0, errors.New("at: which workload is missing")
	case rest[0] == "one" && len(rest) > 1 && rest[1] == "endpoint":
		o.Alike = true
		return 2, nil
	}
	o.At = rest[0]
	return 1, nil
}

func (o *Outcome) counts(rest []string) (n int, err error) {
	if len(rest) == 0 || rest[0] != "failure" && rest[0] != "success" {
		return 0, errors.New("want counts failure or counts success, and by OBJECT if it matters")
	}
	o.Counts = rest[0]
	if len(rest) < 2 || rest[1] != "by" {
		return 1, nil
	}
	o.CountBy, n = phrase(rest[2:])
	return 2 + n, nil
}

// Repeated says whether a call is made several times, or beside others: it has to be made as one of calls in order.
func (c *Call) Repeated() bool { return c.Times > 0 || c.Beside > 0 }

// Jar keeps the cookies that a call's answers set.
type Jar []string

// Keep takes what an answer sets. A cookie takes the place of the one that had its name.
func (j *Jar) Keep(b *explain.Branch) {
	for _, h := range b.Returns {
		if h[0] != "set-cookie" {
			continue
		}
		pair, _, _ := strings.Cut(h[1], ";")
		name, _, _ := strings.Cut(pair, "=")
		at := slices.IndexFunc(*j, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		if at < 0 {
			*j = append(*j, pair)
		} else {
			(*j)[at] = pair
		}
	}
}

// Nth is the call as it is made for the nth time, with the cookies that it was given before.
func (c *Call) Nth(n int, jar Jar) *Call {
	x := *c
	at := func(text string) string { return strings.ReplaceAll(text, "{n}", strconv.Itoa(n)) }
	x.URL = &url.URL{Scheme: c.URL.Scheme, Host: c.URL.Host, Path: c.URL.Path, RawPath: c.URL.RawPath, RawQuery: at(c.URL.RawQuery)}
	x.Header = nil
	for _, h := range c.Header {
		x.Header = append(x.Header, [2]string{h[0], at(h[1])})
	}
	if c.Cookies && len(jar) > 0 {
		x.Header = append(x.Header, [2]string{"cookie", strings.Join(jar, "; ")})
	}
	return &x
}

// Session makes calls by decision, in order: by proxies that remember, at times that pass.
type Session struct {
	mesh    *mesh.Snapshot
	proxies map[string]*explain.Proxy
	apps    map[string]explain.App
	now     time.Time
	chance  *rand.PCG // of the same numbers each time, so that a transcript that holds goes on to
}

// NewSession begins with proxies that remember nothing.
func NewSession(s *mesh.Snapshot) *Session {
	return &Session{mesh: s, proxies: map[string]*explain.Proxy{}, apps: map[string]explain.App{}, now: Now, chance: rand.NewPCG(1, 2)}
}

// Do takes a step, and returns what became of its calls.
func (s *Session) Do(x *Step) ([]explain.Branch, error) {
	if x.Call != nil {
		return s.calls(x.Call)
	}
	s.now = s.now.Add(x.After)
	if x.Workload == "" {
		return nil, nil
	}
	for _, key := range []string{x.Workload, "default/" + x.Workload} {
		if s.mesh.Workloads[key] != nil {
			s.apps[key] = x.App
			return nil, nil
		}
	}
	return nil, fmt.Errorf("there is no workload %q", x.Workload)
}

func (s *Session) calls(c *Call) (got []explain.Branch, err error) {
	for range c.Beside {
		beside, err := s.begin(c.Nth(1, nil))
		if err != nil {
			return nil, err
		}
		defer beside.End()
	}
	var jar Jar
	for n := range max(c.Times, 1) {
		one, err := s.begin(c.Nth(n+1, jar))
		if err != nil {
			return nil, err
		}
		b := one.End()
		jar.Keep(&b)
		got = append(got, b)
	}
	return got, nil
}

func (s *Session) begin(c *Call) (*explain.Open, error) {
	asked := c.Asked()
	asked.Now = s.now
	q, err := asked.Query(s.mesh)
	if err != nil {
		return nil, err
	}
	q.Apps = s.apps
	p := s.proxies[q.From]
	if p == nil {
		p = explain.NewProxy(compile.All(s.mesh, s.mesh.Workloads[q.From]))
		s.proxies[q.From] = p
	}
	o, err := p.Begin(&q, s.chance.Uint64())
	if err == nil {
		s.now = o.Now()
	}
	return o, err
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

func (c *Call) wanted() string {
	var all []string
	for i := range c.Outcomes {
		all = append(all, c.Outcomes[i].String())
	}
	return strings.Join(all, " | ")
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

func (o *Outcome) endpoint(b *explain.Branch) bool {
	return o.At == "" || b.To != nil && (b.To.Workload == o.At || b.To.Workload == "default/"+o.At)
}

func (o *Outcome) counted(b *explain.Branch) bool {
	return o.Counts == "" || b.Failure == (o.Counts == "failure") && (o.CountBy == "" || strings.HasPrefix(b.Class.String(), o.CountBy))
}
