package dialect

import (
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// Reader is what the readers of all dialects have in common: the object that is read, what may be seen beside it, and what is
// to be said of it. A Kind's Lower makes one with NewReader and returns its Found.
type Reader struct {
	Object *Object
	View   View
	Ref    decision.Ref // the object's
	Found  []mesh.Finding

	said map[mesh.Finding]bool
}

// NewReader returns a Reader of o, an object of d.
func NewReader(d decision.Dialect, o *Object, v View) Reader {
	return Reader{Object: o, View: v, Ref: o.Ref(d)}
}

// Refuse says why the object cannot be in force.
func (r *Reader) Refuse(field, text, remedy string) { r.note(mesh.Error, field, text, remedy) }

// Warn says what has no effect, or another than its author will expect.
func (r *Reader) Warn(field, text, remedy string) { r.note(mesh.Warning, field, text, remedy) }

// Info says what is right and still good to know.
func (r *Reader) Info(field, text, remedy string) { r.note(mesh.Info, field, text, remedy) }

// note says a thing once: what a rule holds may be looked at for each of its matches.
func (r *Reader) note(l mesh.Level, field, text, remedy string) {
	f := mesh.Finding{Ref: r.Ref, Field: field, Text: text, Remedy: remedy, Level: l}
	if r.said[f] {
		return
	}
	if r.said == nil {
		r.said = map[mesh.Finding]bool{}
	}
	r.said[f] = true
	r.Found = append(r.Found, f)
}

// Refused says whether anything keeps the object out of force.
func (r *Reader) Refused() bool { return anyError(r.Found) }

// Rule returns the Ref of the rule at a field: "spec.http[0]" is rule http[0].
func (r *Reader) Rule(field string) decision.Ref { return r.Ref.At(strings.TrimPrefix(field, "spec.")) }

// Decode fills into with the whole object; false: it could not, and a finding says why.
func (r *Reader) Decode(into any) bool {
	if err := Decode(r.Object, into); err != nil {
		r.Refuse("", err.Error(), "")
		return false
	}
	return true
}

// Spec fills into with the object's spec, as DecodeField does; false: it could not, and a finding says why.
func (r *Reader) Spec(into any) bool {
	if err := DecodeField(r.Object, "spec", into); err != nil {
		r.Refuse("spec", err.Error(), "")
		return false
	}
	return true
}

// Regex refuses what RE2 cannot read, alone or as what has to be the whole value: proxies would refuse all that stands beside it, whoever wrote that.
func (r *Reader) Regex(field, re string) {
	if err := (&match.String{Kind: match.Regex, Value: re}).Compile(); err != nil {
		r.Refuse(field, err.Error(), "write it in RE2's syntax; it is compared with the whole value")
	}
}
