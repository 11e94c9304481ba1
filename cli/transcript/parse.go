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
//	-- findings --
//	mesh/policy.yaml:41 spec.endpointSelector
//
// Beside headers, a call may say: answering=STATUS, what the application answers; taking=DURATION, how long that takes it;
// failing=N, so many attempts find nobody to connect to; at=ADDRESS, where a call from outside comes from. An outcome is a status,
// "ok" or "refused", and what of the following matters: the service that got the call, its subset, "grpc CODE", "attempts N",
// "copied to SERVICE subset NAME", "because WORDS", "sees HEADER=VALUE ..." as the application gets them, with path, query and host
// among them, "returns HEADER=VALUE ..." of the answer. HEADER= with nothing behind it: it is not there.
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

	"github.com/weft-mesh/weft/traffic"
)

// File is a transcript.
type File struct {
	Name      string
	Configs   []txtar.File
	Workloads []Workload
	Calls     []Call
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
}

// Outside is the caller that is not of the mesh.
const Outside = "outside"

// Call is a line of calls.
type Call struct {
	Line     int
	Text     string
	From     string // name or namespace/name of a workload; "outside": not of the mesh
	To       string // the workload, of a call from outside
	Proto    traffic.Proto
	Method   string
	URL      *url.URL
	Header   [][2]string
	At       netip.Addr    // where a call from outside comes from
	Status   int           // that the application answers [200]
	Takes    time.Duration // that the application needs for it
	Fail     int           // attempts that fail to connect
	Outcomes []Outcome
}

// Outcome is what is to become of a call, or of a share of such calls.
type Outcome struct {
	Share   int    // percent; 0: not said
	Status  int    // 0: refused, or not said for TCP
	Refused bool   // no answer
	OK      bool   // a TCP connection that works
	Target  string // service, by name, name.namespace or full; empty: not said
	Subset  string
	GRPC    string      // grpc-status; empty: not said
	Tries   int         // attempts; 0: not said
	Because string      // beginning of the deciding verdict's words; empty: not said
	Sees    [][2]string // headers, "path", "query" or "host", as the application gets them; an empty value: it is not there
	Returns [][2]string // headers of the answer
	Copies  []Copy      // where copies of the call go
}

// Copy is where a mirror sends a call too.
type Copy struct{ Service, Subset string }

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
	for _, part := range ar.Files {
		at := lineOf(data, part.Name)
		switch {
		case part.Name == "workloads":
			errs = append(errs, f.lines(part, at, f.workload))
		case part.Name == "calls":
			errs = append(errs, f.lines(part, at, f.call))
		case part.Name == "findings":
			f.Checked = true
			errs = append(errs, f.lines(part, at, f.finding))
		case strings.HasSuffix(part.Name, ".yaml"), strings.HasSuffix(part.Name, ".yml"), strings.HasSuffix(part.Name, ".json"):
			f.Configs = append(f.Configs, part)
		default:
			errs = append(errs, fmt.Errorf("%s:%d: section %q is none of workloads, calls, findings or a .yaml file", name, at, part.Name))
		}
	}
	if len(f.Calls) == 0 && !f.Checked {
		errs = append(errs, fmt.Errorf("%s: there is neither a section \"-- calls --\" nor \"-- findings --\": nothing would be tested", name))
	}
	return f, errors.Join(errs...)
}

// lineOf is the line of a section's header.
func lineOf(data []byte, section string) int {
	before, _, _ := strings.Cut("\n"+string(data), "\n-- "+section+" --")
	return strings.Count(before, "\n") + 1
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
			return fmt.Errorf("%q: want KEY=VALUE (service, version, account, ports, protocol, or a label)", word)
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
	if c.From == Outside && c.To == "" {
		return errors.New("a call from outside needs the workload whose published port it comes to: to WORKLOAD")
	}
	c.Outcomes, err = outcomes(words[arrow+1:])
	f.Calls = append(f.Calls, c)
	return err
}

func (c *Call) options(words []string) error {
	for i := 0; i < len(words); i++ {
		if words[i] == "to" && i+1 < len(words) {
			c.To = words[i+1]
			i++
			continue
		}
		k, v, ok := strings.Cut(words[i], "=")
		if !ok {
			return fmt.Errorf("%q: want HEADER=VALUE, answering=STATUS, taking=DURATION, failing=ATTEMPTS, at=ADDRESS or to WORKLOAD", words[i])
		}
		var err error
		switch k {
		case "answering":
			c.Status, err = strconv.Atoi(v)
		case "failing":
			c.Fail, err = strconv.Atoi(v)
		case "taking":
			c.Takes, err = time.ParseDuration(v)
		case "at":
			c.At, err = netip.ParseAddr(v)
		default:
			c.Header = append(c.Header, [2]string{strings.ToLower(k), v})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

func outcomes(words []string) (out []Outcome, err error) {
	for len(words) > 0 {
		end := slices.Index(words, "|")
		if end < 0 {
			end = len(words)
		}
		o, err := outcome(words[:end])
		if err != nil {
			return nil, err
		}
		out = append(out, o)
		words = words[min(end+1, len(words)):]
	}
	return out, nil
}

func outcome(words []string) (o Outcome, err error) {
	if len(words) > 0 && strings.HasSuffix(words[0], "%") {
		if o.Share, err = strconv.Atoi(strings.TrimSuffix(words[0], "%")); err != nil {
			return o, err
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return o, errors.New("an outcome is empty: want a status, ok or refused")
	}
	switch words[0] {
	case "refused":
		o.Refused = true
	case "ok":
		o.OK = true
	default:
		if o.Status, err = strconv.Atoi(words[0]); err != nil {
			return o, fmt.Errorf("%q: want a status, ok or refused", words[0])
		}
	}
	return o, o.rest(words[1:])
}

// words that begin a part of an outcome.
var parts = []string{"because", "subset", "sees", "returns", "grpc", "attempts", "copied"}

func (o *Outcome) rest(words []string) error {
	for len(words) > 0 {
		n, err := o.part(words[0], words[1:])
		if err != nil {
			return err
		}
		words = words[1+n:]
	}
	return nil
}

// part reads one part that begins with word, and returns how many of the words behind it belong to it.
func (o *Outcome) part(word string, rest []string) (n int, err error) {
	switch word {
	case "because":
		for n < len(rest) && !slices.Contains(parts, rest[n]) {
			n++
		}
		o.Because = strings.Join(rest[:n], " ")
	case "sees":
		o.Sees, n, err = pairs(rest)
	case "returns":
		o.Returns, n, err = pairs(rest)
	case "copied":
		return o.copied(rest)
	case "subset", "grpc", "attempts":
		if len(rest) == 0 {
			return 0, fmt.Errorf("%s: what follows it is missing", word)
		}
		n = 1
		switch word {
		case "subset":
			o.Subset = rest[0]
		case "grpc":
			o.GRPC = rest[0]
		default:
			o.Tries, err = strconv.Atoi(rest[0])
		}
	default:
		if o.Target != "" {
			return 0, fmt.Errorf("%q is not understood after %q", word, o.Target)
		}
		o.Target = word
	}
	return n, err
}

func (o *Outcome) copied(rest []string) (n int, err error) {
	if len(rest) < 2 || rest[0] != "to" {
		return 0, errors.New("want copied to SERVICE, and subset NAME if it has one")
	}
	c := Copy{Service: rest[1]}
	if n = 2; len(rest) > 3 && rest[2] == "subset" {
		c.Subset, n = rest[3], 4
	}
	o.Copies = append(o.Copies, c)
	return n, nil
}

func pairs(words []string) (out [][2]string, n int, err error) {
	for _, w := range words {
		if slices.Contains(parts, w) {
			break
		}
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return nil, 0, fmt.Errorf("%q: want NAME=VALUE", w)
		}
		out = append(out, [2]string{strings.ToLower(k), v})
		n++
	}
	return out, n, nil
}
