// Package match holds the predicates that rules are made of. Each reads a traffic.Attrs and nothing else; features with
// conditions share them. Values come from configuration; Compile readies them once.
package match

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/traffic"
)

// Kind is how a String compares.
type Kind uint8

const (
	Exact Kind = iota
	Prefix
	Suffix
	Present
	PathPrefix // by path segment, as in the Gateway API
	Regex      // RE2, whole string
)

// String is a predicate on one string.
type String struct {
	Kind  Kind   `pb:"1"`
	Value string `pb:"2"`
	re    *regexp.Regexp
}

// Compile readies a Regex.
func (s *String) Compile() (err error) {
	if s.Kind == Regex {
		s.re, err = regexp.Compile("^(?:" + s.Value + ")$")
	}
	return err
}

func (s *String) Match(v string) bool {
	switch s.Kind {
	case Exact:
		return v == s.Value
	case Prefix:
		return strings.HasPrefix(v, s.Value)
	case Suffix:
		return strings.HasSuffix(v, s.Value)
	case PathPrefix:
		p := strings.TrimSuffix(s.Value, "/")
		return strings.HasPrefix(v, p) && (len(v) == len(p) || v[len(p)] == '/')
	case Regex:
		return s.re.MatchString(v)
	}
	return true
}

func (s String) String() string {
	return [...]string{"exact ", "prefix ", "suffix ", "any", "path ", "regex "}[s.Kind] + s.Value
}

// Header is a predicate on one header; names are lower case.
type Header struct {
	Name   string `pb:"1"`
	Value  String `pb:"2"`
	Invert bool   `pb:"3"`
}

// Request is a conjunction on the head; what is unset matches all. No field matches a call that has no head.
type Request struct {
	Methods   []string `pb:"1"`
	Paths     []String `pb:"2"` // any of
	Authority *String  `pb:"3"`
	Headers   []Header `pb:"4"`
}

// Compile readies every Regex.
func (r *Request) Compile() error {
	for i := range r.Paths {
		if err := r.Paths[i].Compile(); err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	for i := range r.Headers {
		if err := r.Headers[i].Value.Compile(); err != nil {
			return fmt.Errorf("header %s: %w", r.Headers[i].Name, err)
		}
	}
	return nil
}

// Match says whether all that is set matches.
func (r *Request) Match(a *traffic.Attrs) bool { _, ok := r.miss(a); return ok }

// Miss says in words why a does not match; it is for trails, and allocates.
func (r *Request) Miss(a *traffic.Attrs) string { f, _ := r.miss(a); return f.words(r, a) }

type field struct {
	kind  uint8 // 0 none, 1 method, 2 path, 3 authority, 4 header, 5 no head
	index int
}

func (r *Request) miss(a *traffic.Attrs) (field, bool) {
	if a.Proto == traffic.TCP {
		return field{5, 0}, false
	}
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, a.Method) {
		return field{1, 0}, false
	}
	if len(r.Paths) > 0 && !slices.ContainsFunc(r.Paths, func(s String) bool { return s.Match(a.Path) }) {
		return field{2, 0}, false
	}
	if r.Authority != nil && !r.Authority.Match(a.Authority) {
		return field{3, 0}, false
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		v, ok := a.Header.Get(h.Name)
		if (ok && h.Value.Match(v)) == h.Invert {
			return field{4, i}, false
		}
	}
	return field{}, true
}

func (f field) words(r *Request, a *traffic.Attrs) string {
	switch f.kind {
	case 1:
		return fmt.Sprintf("method %s is not of %v", a.Method, r.Methods)
	case 2:
		return fmt.Sprintf("path %s is not of %v", a.Path, r.Paths)
	case 3:
		return fmt.Sprintf("authority %s is not %v", a.Authority, r.Authority)
	case 4:
		h := &r.Headers[f.index]
		v, _ := a.Header.Get(h.Name)
		return fmt.Sprintf("header %s is %q, wanted %v", h.Name, v, &h.Value)
	}
	return map[uint8]string{5: "the call has no HTTP head"}[f.kind]
}

// Source is a conjunction on the caller; what is unset matches all.
type Source struct {
	Principals    []String       `pb:"1"` // "trust.domain/ns/N/sa/S"; any of
	Namespaces    []string       `pb:"2"`
	Networks      []netip.Prefix `pb:"3"`
	Labels        []string       `pb:"4"` // all of
	Authenticated bool           `pb:"5"`
}

func (s *Source) Match(p *traffic.Peer) bool {
	if s.Authenticated && p.ID.IsZero() {
		return false
	}
	if len(s.Principals) > 0 {
		id := p.ID.Principal()
		if id == "" || !slices.ContainsFunc(s.Principals, func(m String) bool { return m.Match(id) }) {
			return false
		}
	}
	if len(s.Namespaces) > 0 && !slices.Contains(s.Namespaces, p.ID.Namespace) {
		return false
	}
	if len(s.Networks) > 0 && !slices.ContainsFunc(s.Networks, func(n netip.Prefix) bool { return n.Contains(p.Addr.Addr()) }) {
		return false
	}
	for _, l := range s.Labels {
		if !slices.Contains(p.Labels, l) {
			return false
		}
	}
	return true
}

// Caller is a predicate on the workload that calls; a proxy evaluates it once, when the configuration arrives.
type Caller struct {
	Namespaces []string `pb:"1"`
	Labels     []string `pb:"2"`
}

func (c *Caller) Match(namespace string, labels []string) bool {
	if c == nil {
		return true
	}
	if len(c.Namespaces) > 0 && !slices.Contains(c.Namespaces, namespace) {
		return false
	}
	return Labels(c.Labels, labels)
}

// Labels says whether have holds all of want.
func Labels(want, have []string) bool {
	for _, l := range want {
		if !slices.Contains(have, l) {
			return false
		}
	}
	return true
}
