// Package rewrite changes path and authority of a request on its way.
package rewrite

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
)

// Policy says what changes; what is unset stays.
type Policy struct {
	Ref       decision.Ref `pb:"1"`
	Authority string       `pb:"2"`
	Path      *string      `pb:"3"` // the whole path
	Prefix    *string      `pb:"4"` // what takes the place of Strip, the prefix that the rule matched
	Strip     string       `pb:"5"`
	Segment   bool         `pb:"6"` // Strip ends at a path segment (Gateway API); else it is text (Istio)
	Regex     string       `pb:"7"` // RE2: each match in the path becomes Substitution, which may use \1
	Subst     string       `pb:"8"`

	re    *regexp.Regexp
	subst string // as regexp wants it
}

// Compile readies Regex. It fails on what is no expression, and on a \N that stands for no group.
func (p *Policy) Compile() (err error) {
	if p.Regex == "" || p.re != nil {
		return nil
	}
	re, err := match.Expression(p.Regex)
	if err != nil {
		return fmt.Errorf("rewrite: %w", err)
	}
	if p.subst, err = template(p.Subst, re.NumSubexp()); err != nil {
		return err
	}
	p.re = re
	return nil
}

// template turns \1 into ${1}, and keeps what regexp would take for its own.
func template(s string, groups int) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '$':
			b.WriteString("$$")
		case s[i] != '\\':
			b.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == '\\':
			b.WriteByte('\\')
			i++
		case i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			if i++; int(s[i]-'0') > groups {
				return "", fmt.Errorf(`rewrite: \%c stands for no group: the expression has %d`, s[i], groups)
			}
			b.WriteString("${" + s[i:i+1] + "}")
		default:
			return "", fmt.Errorf(`rewrite: %q: after \ comes a digit or another \`, s)
		}
	}
	return b.String(), nil
}

// NewPath is path as the policy wants it: it begins with a slash. It makes a string only where something changes.
func (p *Policy) NewPath(path string) string {
	switch {
	case p.Path != nil:
		path = *p.Path
	case p.Prefix != nil:
		path = match.ReplacePrefix(path, p.Strip, *p.Prefix, p.Segment)
	case p.re != nil:
		path = p.re.ReplaceAllString(path, p.subst)
	default:
		return path
	}
	if !strings.HasPrefix(path, "/") {
		return "/" + path
	}
	return path
}
