// Package headers edits request and response headers.
package headers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/decision"
)

// Pair is a header and its value; names are lower case.
type Pair struct {
	Name  string `pb:"1"`
	Value string `pb:"2"`
}

// Edit is done in this order: remove, set, add.
type Edit struct {
	Set    []Pair   `pb:"1"`
	Add    []Pair   `pb:"2"`
	Remove []string `pb:"3"`
}

// Policy edits both ways. To set "host" changes the authority.
type Policy struct {
	Ref      decision.Ref `pb:"1"`
	Request  Edit         `pb:"2"`
	Response Edit         `pb:"3"`
}

// Validate refuses names that are not lower-case tokens, and values that would break a head (RFC 9110 sections 5.1 and 5.5).
func (p *Policy) Validate() error {
	for _, e := range []*Edit{&p.Request, &p.Response} {
		for _, f := range slices.Concat(e.Set, e.Add) {
			if !token(f.Name) {
				return fmt.Errorf("headers: %q is no header name in lower case", f.Name)
			}
			if strings.ContainsAny(f.Value, "\r\n\x00") {
				return fmt.Errorf("headers: the value of %s has a line break or a null byte", f.Name)
			}
		}
		for _, n := range e.Remove {
			if !token(n) {
				return fmt.Errorf("headers: %q is no header name in lower case", n)
			}
		}
	}
	return nil
}

func token(name string) bool {
	rest := strings.TrimPrefix(name, ":")
	return rest != "" && strings.IndexFunc(rest, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}) < 0
}

// Host is the authority that the edit sets, under either of its names.
func (e *Edit) Host() (string, bool) {
	for i := len(e.Set) - 1; i >= 0; i-- {
		if n := e.Set[i].Name; n == "host" || n == ":authority" {
			return e.Set[i].Value, true
		}
	}
	return "", false
}

// pseudo: no field of the head but a part of the request, which a field's edit must not touch.
func pseudo(name string) bool { return name == "host" || name != "" && name[0] == ':' }
