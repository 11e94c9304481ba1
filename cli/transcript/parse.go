// Package transcript reads and runs files that say what a mesh is to do: configuration, workloads, calls with their outcomes, and
// findings, in one text that a person can write and a reviewer can read (txtar). `weft test` runs those of users; weft's own
// tests run theirs twice, by decision and through real proxies.
//
//	-- mesh/policy.yaml --
//	...
//	-- workloads --
//	frontend
//	backend version=v1 ports=80
//	-- calls --
//	from frontend GET http://backend/api/items => 200 backend because AuthorizationPolicy default/allow rules[0] (istio)
//	from frontend GET http://backend/ x-canary=true => 80% 200 backend subset v1 | 20% 200 backend subset v2
//	from frontend GET http://backend/old => 200 sees path=/new x-added=1 returns x-served-by=weft
//	from frontend TCP db:5432 => refused because ...
//	from outside GET http://backend/ to backend at=192.0.2.1 => 403
//	from outside GET https://shop.example/ via default/shop => 200 frontend
//	from outside TLS shop.example:443 via default/shop => ok frontend
//	from outside UDP shop.example:53 via default/shop => ok names
//	-- findings --
//	mesh/policy.yaml:41 spec.endpointSelector
//
// For each gateway that calls come to by via, a proxy of the gateway's runs. Its port is that of the URL; https: and TLS begin with TLS
// by the name in the URL, whatever the header host=NAME says.
//
// A workload may say trusted=ADDRESS/BITS,...: proxies in front of the mesh whose x-forwarded-* it takes (weft run --trusted-proxy).
//
// Beside headers, a call may say: answering=STATUS, what the application answers; taking=DURATION, how long that takes it;
// failing=N, so many attempts find nobody to connect to; at=ADDRESS, where a call from outside comes from, which it has to say where a
// policy asks; times=N, it is made so often, one after another, with {n} in a header or query standing for its number, and
// keeping=cookies, each with the cookies that the ones before were given; beside=N, so many calls like it are open meanwhile.
//
// An outcome is a status, "ok" or "refused", and what of the following matters: the service that got the call, its subset, "at
// WORKLOAD", "grpc CODE", "attempts N", "copied to SERVICE subset NAME", "because WORDS", "counts failure" or "counts success" and
// "by WORDS" of the rule that says so, "sees HEADER=VALUE ..." as the application gets them, with path, query and host among them,
// "returns HEADER=VALUE ..." of the answer. HEADER= with nothing behind it: it is not there; of one
// that is there several times VALUE is the first, or all with commas between. Of calls that are made several times,
// each outcome says how often it is had: "5 times", "at least 5 times", "at most 5 times" or a share, which chance may miss by five
// standard deviations; "at one endpoint" is the same for all of them. A call has the first outcome that fits.
//
// The calls of a section calls know nothing of each other. Those of a section "calls in order" do, as far as a proxy remembers: turns,
// failures, ejections, budgets. It may stand several times; each begins with proxies that remember nothing. Between calls, time may
// pass, and applications may change:
//
//	-- calls in order --
//	backend-1 answers 503
//	from frontend GET http://backend/ times=10 => 5 times 503 at backend-1 | 5 times 200 at backend-2
//	after 30s
//	backend-1 answers 200
//	backend-2 takes 1s
//	backend-3 refuses
//	from frontend GET http://backend/ times=10 => at least 5 times 200 at backend-1 | at most 5 times 200
package transcript

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar" // the format of Go's own script tests

	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/traffic"
)

// File is a transcript.
type File struct {
	Name      string
	Configs   []txtar.File
	Workloads []Workload
	Calls     []Call
	Orders    [][]Step   // sections of calls in order
	Findings  []Expected // none, and Checked false: they are not looked at
	Checked   bool
}

// Workload is one that runs while the calls are made, as `weft run` would start it.
type Workload struct {
	Name, Namespace, Service, Version, Account string
	Labels                                     map[string]string
	Ports                                      []uint16
	Protocol                                   string            // appProtocol of its ports [http]
	Protocols                                  map[uint16]string // of single ports, where it is another one
	Trusted                                    []netip.Prefix    // proxies in front of its published ports whose x-forwarded-* counts
	Gateway                                    string            // namespace/name of the gateway that it is a proxy of; empty: it is none
}

// Outside is the caller that is not of the mesh.
const Outside = "outside"

// Call is a line of calls.
type Call struct {
	Line     int
	Text     string
	From     string // name or namespace/name of a workload; "outside": not of the mesh
	To       string // the workload, of a call from outside
	Via      string // namespace/name of the gateway that a call from outside comes to; empty: it comes to To
	Proto    traffic.Proto
	Method   string
	URL      *url.URL
	Header   [][2]string
	At       netip.Addr    // where a call from outside comes from
	Status   int           // that the application answers [200]
	Takes    time.Duration // that the application needs for it
	Fail     int           // attempts that fail to connect
	Times    int           // that it is made, one after another [1]
	Beside   int           // calls like it that are open meanwhile
	Cookies  bool          // that it is given are kept for the next time
	Outcomes []Outcome
}

// Expected is a finding: its place and the beginning of its field or text.
type Expected struct {
	Line  int
	Place string // FILE:LINE
	Text  string
}

// Parse reads a transcript. The error names file and line.
func Parse(name string, data []byte) (*File, error) {
	f := &File{Name: name}
	ar := txtar.Parse(data)
	var errs []error
	at := 0
	for _, part := range ar.Files {
		at = lineOf(data, part.Name, at)
		switch {
		case part.Name == "workloads":
			errs = append(errs, f.lines(part, at, f.workload))
		case part.Name == "calls":
			errs = append(errs, f.lines(part, at, f.call))
		case part.Name == inOrder:
			f.Orders = append(f.Orders, nil)
			errs = append(errs, f.lines(part, at, f.step))
		case part.Name == "findings":
			f.Checked = true
			errs = append(errs, f.lines(part, at, f.finding))
		case strings.HasSuffix(part.Name, ".yaml"), strings.HasSuffix(part.Name, ".yml"), strings.HasSuffix(part.Name, ".json"):
			f.Configs = append(f.Configs, part)
		default:
			errs = append(errs, fmt.Errorf("%s:%d: section %q is none of workloads, calls, calls in order, findings or a .yaml file", name, at, part.Name))
		}
	}
	return f, errors.Join(errs...)
}

// lineOf is the line of a section's header, the first of that name behind line after.
func lineOf(data []byte, section string, after int) int {
	n := 0
	for line := range strings.Lines(string(data)) {
		if n++; n > after && strings.TrimSpace(line) == "-- "+section+" --" {
			return n
		}
	}
	return after
}

// lines hands each line but empty ones and comments to read.
func (f *File) lines(part txtar.File, at int, read func(n int, words []string) error) error {
	var errs []error
	for i, line := range strings.Split(string(part.Data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words, err := split(line)
		if err == nil {
			err = read(at+1+i, words)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", f.Name, at+1+i, err))
		}
	}
	return errors.Join(errs...)
}

// split cuts a line at spaces outside of double quotes.
func split(line string) (words []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " \t") {
		word := ""
		for line != "" && line[0] != ' ' && line[0] != '\t' {
			if line[0] != '"' {
				word, line = word+line[:1], line[1:]
				continue
			}
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("a quote is not closed: %s", line)
			}
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			word, line = word+text, line[len(quoted):]
		}
		words = append(words, word)
	}
	return words, nil
}

// ParseWorkload reads a line of the section workloads.
func ParseWorkload(line string) (Workload, error) {
	f := File{}
	words, err := split(line)
	if err == nil && len(words) == 0 {
		err = errors.New("the line is empty")
	}
	if err == nil {
		err = f.workload(0, words)
	}
	if err != nil {
		return Workload{}, fmt.Errorf("workload %q: %w", line, err)
	}
	return f.Workloads[0], nil
}

// ParseCall reads a line of the section calls.
func ParseCall(line string) (Call, error) {
	f := File{}
	words, err := split(line)
	if err == nil {
		err = f.call(0, words)
	}
	if err != nil {
		return Call{}, fmt.Errorf("call %q: %w", line, err)
	}
	return f.Calls[0], nil
}

func (f *File) workload(_ int, words []string) error {
	w := Workload{Name: words[0], Namespace: "default", Service: words[0], Account: words[0], Labels: map[string]string{}, Ports: []uint16{80}}
	if ns, name, ok := strings.Cut(words[0], "/"); ok {
		w.Namespace, w.Name, w.Service, w.Account = ns, name, name, name
	}
	for _, word := range words[1:] {
		k, v, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("%q: want KEY=VALUE (service, version, account, ports, protocol, trusted, or a label)", word)
		}
		switch k {
		case "service":
			w.Service = v
		case "version":
			w.Version = v
		case "account":
			w.Account = v
		case "protocol":
			w.Protocol = v
		case "trusted":
			for _, text := range strings.Split(v, ",") {
				p, err := netip.ParsePrefix(text)
				if err != nil {
					return fmt.Errorf("trusted %q: want ADDRESS/BITS, as 10.0.0.0/8: %w", text, err)
				}
				w.Trusted = append(w.Trusted, p)
			}
		case "ports":
			if err := w.ports(v); err != nil {
				return err
			}
		default:
			w.Labels[k] = v
		}
	}
	f.Workloads = append(f.Workloads, w)
	return nil
}

// ports reads "80,5432/tcp".
func (w *Workload) ports(list string) error {
	w.Ports = nil
	for _, text := range strings.Split(list, ",") {
		number, protocol, said := strings.Cut(text, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return fmt.Errorf("port %q: %w", text, err)
		}
		w.Ports = append(w.Ports, uint16(n))
		if said {
			if w.Protocols == nil {
				w.Protocols = map[uint16]string{}
			}
			w.Protocols[uint16(n)] = protocol
		}
	}
	return nil
}

func (f *File) finding(n int, words []string) error {
	f.Findings = append(f.Findings, Expected{n, words[0], strings.Join(words[1:], " ")})
	return nil
}

const callForm = `want: from WORKLOAD METHOD URL [HEADER=VALUE ...] => OUTCOME`

func (f *File) call(n int, words []string) error {
	arrow := slices.Index(words, "=>")
	if arrow < 4 || words[0] != "from" || arrow == len(words)-1 {
		return errors.New(callForm)
	}
	c := Call{Line: n, Text: strings.Join(words[:arrow], " "), From: words[1], Proto: traffic.HTTP1, Method: words[2]}
	raw := words[3]
	switch c.Method {
	case "TCP":
		c.Proto, c.Method, raw = traffic.TCP, "", "tcp://"+raw
	case "TLS":
		c.Proto, c.Method, raw = traffic.TCP, "", "tls://"+raw
	case "UDP":
		c.Proto, c.Method, raw = traffic.TCP, "", "udp://"+raw
	case "GRPC":
		c.Proto, c.Method = traffic.GRPC, "POST"
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is no URL as http://SERVICE:PORT/PATH", words[3])
	}
	c.URL = u
	if err := c.options(words[4:arrow]); err != nil {
		return err
	}
	switch ends := c.Via != ""; {
	case c.From == Outside && (c.To == "") != ends:
		return errors.New("a call from outside needs the workload whose published port it comes to, as to WORKLOAD, or the gateway, as via NAMESPACE/NAME, and not both")
	case ends && c.From != Outside:
		return errors.New("via NAMESPACE/NAME is for calls from outside: a gateway's callers are")
	case c.URL.Scheme == "udp" && !ends:
		return errors.New("UDP goes through gateways alone: say via NAMESPACE/NAME")
	case (c.URL.Scheme == "https" || c.URL.Scheme == "tls") && !ends:
		return errors.New("TLS ends at gateways: say via NAMESPACE/NAME; between workloads proxies speak it by themselves")
	}
	if c.Outcomes, err = outcomes(words[arrow+1:]); err == nil {
		err = c.often()
	}
	f.Calls = append(f.Calls, c)
	return err
}

func (c *Call) options(words []string) error {
	for i := 0; i < len(words); i++ {
		if (words[i] == "to" || words[i] == "via") && i+1 < len(words) {
			*map[string]*string{"to": &c.To, "via": &c.Via}[words[i]] = words[i+1]
			i++
			continue
		}
		k, v, ok := strings.Cut(words[i], "=")
		if !ok {
			return fmt.Errorf("%q: want HEADER=VALUE, answering=STATUS, taking=DURATION, failing=ATTEMPTS, at=ADDRESS, times=N, keeping=cookies, beside=N, to WORKLOAD or via GATEWAY", words[i])
		}
		var err error
		switch k {
		case "answering":
			c.Status, err = number(v, 599)
		case "failing":
			c.Fail, err = number(v, maxTimes)
		case "taking":
			c.Takes, err = duration(v)
		case "at":
			c.At, err = netip.ParseAddr(v)
		case "times":
			c.Times, err = number(v, maxTimes)
		case "beside":
			c.Beside, err = number(v, maxBeside)
		case "keeping":
			if c.Cookies = v == "cookies"; !c.Cookies {
				err = fmt.Errorf("%q: cookies is all that can be kept", v)
			}
		default:
			c.Header = append(c.Header, [2]string{strings.ToLower(k), v})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

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
