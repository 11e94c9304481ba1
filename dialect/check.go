package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/internal/spelling"
	"github.com/weft-mesh/weft/mesh"
)

// checker compares one object with its kind's Schema and Fields.
type checker struct {
	kind  *Kind
	ref   decision.Ref
	found []mesh.Finding
	wrong *place // of the first error
}

func (c *checker) add(level mesh.Level, p *place, text, remedy string) {
	if level == mesh.Error && c.wrong == nil {
		c.wrong = p
	}
	c.found = append(c.found, mesh.Finding{Ref: c.ref, Field: p.String(), Text: text, Remedy: remedy, Level: level})
}

// said is what is known of a field from those around it.
type said struct {
	known bool   // it has an effect
	lost  bool   // a finding says already that it has none
	why   string // the nearest explanation around it
}

// value checks v, at p, against its schema s and its node f.
func (c *checker) value(p *place, s *schema.Schema, f *field, v any, around said) {
	if f != nil && f.ignored && f.all {
		return
	}
	if text, remedy := mismatch(s, v); text != "" {
		if c.kind.Hidden {
			text, remedy = s.Type.String()+" is expected here, and this is something else", ""
		}
		c.add(mesh.Error, p, text, remedy)
		return
	}
	if f != nil && f.why != "" {
		around.why = f.why
	}
	if around = c.effect(p, f, v, around); v == nil {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		c.object(p, s, f, v, around)
	case []any:
		elem, below := s.Element(), f.step("[]")
		around.known = around.known || f.supported() && plainElem(s)
		for i, e := range v {
			if e == nil && elem.Type != schema.AnyType {
				c.add(mesh.Error, p.elem(i), "nothing stands here, and "+elem.Type.String()+" is expected", "")
				continue
			}
			c.value(p.elem(i), elem, below, e, around)
		}
	}
}

// effect adds a finding where v has none, and returns what is known below.
func (c *checker) effect(p *place, f *field, v any, around said) said {
	if f != nil && f.all || around.known {
		around.known = true
		return around
	}
	_, isMap := v.(map[string]any)
	_, isList := v.([]any)
	switch {
	case v == nil || around.lost || f.supported():
	case f.lost() || f.known && !isMap && !isList:
		text := "not supported yet: it has no effect"
		if around.why != "" {
			text = "not supported yet: " + around.why
		}
		c.add(mesh.Warning, p, text, "")
		around.lost = true
	}
	return around
}

func (c *checker) object(p *place, s *schema.Schema, f *field, v map[string]any, around said) {
	for _, name := range s.Required {
		if v[name] == nil {
			c.add(mesh.Error, p.child(name), "required, and not there", "")
		}
	}
	for _, group := range s.OneOf {
		c.oneOf(p, group, v)
	}
	if s.Type == schema.MapType {
		around.known = around.known || f.supported() && plainElem(s)
	}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if p == nil && (key == "apiVersion" || key == "kind" || key == "metadata") {
			continue
		}
		at := p.child(key)
		if s.Type == schema.MapType {
			if _, err := strconv.ParseUint(key, 10, 32); s.Numbers && err != nil {
				c.add(mesh.Error, at, "a whole number is expected as the key, and this is "+show(key), "")
				continue
			}
			c.value(at, s.Elem, f.step("{}"), v[key], around)
		} else if inner := s.Inner(key); inner != nil {
			c.value(at, inner, f.step(key), v[key], around)
		} else {
			c.unknown(at, s, v[key])
		}
	}
}

func (c *checker) oneOf(p *place, group []string, v map[string]any) {
	set := slices.DeleteFunc(slices.Clone(group), func(name string) bool { return v[name] == nil })
	if len(set) > 1 {
		c.add(mesh.Error, p.child(set[1]), set[0]+" is set too, and only one of "+strings.Join(group, ", ")+" may be", "")
	}
}

// plainElem says whether the elements of a list or map are plain values.
func plainElem(s *schema.Schema) bool {
	t := s.Element().Type
	return t != schema.ObjectType && t != schema.MapType && t != schema.ListType
}

// mismatch says what is wrong with v's type or value, and how to mend it; "" if nothing is. Nothing at all is unset, which
// every field may be.
func mismatch(s *schema.Schema, v any) (text, remedy string) {
	if v == nil || fits(s.Type, v) {
		if text = outside(s.Range, v); text != "" {
			return text, ""
		}
		return enum(s, v)
	}
	switch v := v.(type) {
	case bool:
		if s.Type == schema.StringType {
			remedy = yamlWords
		}
	case int64, float64:
		if s.Type == schema.StringType {
			remedy = fmt.Sprintf("write it in quotes: %q", fmt.Sprint(v))
		}
	case string:
		if _, err := strconv.ParseInt(v, 10, 64); s.Type == schema.IntType && err == nil || s.Type == schema.BoolType && (v == "true" || v == "false") {
			remedy = "write it without quotes: " + v
		} else if _, err := strconv.ParseFloat(v, 64); s.Type == schema.DurationType && err == nil {
			remedy = "add a unit: " + strconv.Quote(v+"s")
		}
	}
	if _, isString := v.(string); isString && (s.Type == schema.DurationType || s.Type == schema.QuantityType) {
		return show(v) + " is not " + s.Type.String(), remedy
	}
	return s.Type.String() + " is expected here, and this is " + show(v), remedy
}

// outside says that a whole number is out of its range.
func outside(r [2]float64, v any) string {
	f, isFloat := v.(float64)
	if n, isInt := v.(int64); isInt {
		f = float64(n)
	} else if !isFloat {
		return ""
	}
	if r == ([2]float64{}) || f >= r[0] && f <= r[1] {
		return ""
	}
	return fmt.Sprintf("%v is outside of %.0f to %.0f", v, r[0], r[1])
}

const yamlWords = "YAML reads y, n, yes, no, on and off as true and false: write it in quotes"

func enum(s *schema.Schema, v any) (text, remedy string) {
	got, ok := v.(string)
	if !ok || s.Enum == nil || got == "" || slices.Contains(s.Enum, got) {
		return "", ""
	}
	if near := spelling.Nearest(got, s.Enum); near != "" {
		remedy = "did you mean " + near + "?"
	}
	return show(v) + " is none of " + strings.Join(s.Enum, ", "), remedy
}

func fits(t schema.Type, v any) bool {
	switch t {
	case schema.ObjectType, schema.MapType:
		_, ok := v.(map[string]any)
		return ok
	case schema.ListType:
		_, ok := v.([]any)
		return ok
	case schema.StringType:
		_, ok := v.(string)
		return ok
	case schema.IntType:
		return whole(v)
	case schema.NumberType:
		return number(v)
	case schema.BoolType:
		_, ok := v.(bool)
		return ok
	case schema.DurationType:
		text, ok := v.(string)
		_, err := time.ParseDuration(text)
		return ok && err == nil
	case schema.IntOrStringType:
		_, ok := v.(string)
		return ok || whole(v)
	case schema.QuantityType:
		text, ok := v.(string)
		_, err := resource.ParseQuantity(text)
		return number(v) || ok && err == nil
	}
	return true
}

func whole(v any) bool {
	f, isFloat := v.(float64)
	_, isInt := v.(int64)
	return isInt || isFloat && f == float64(int64(f))
}

func number(v any) bool {
	_, isFloat := v.(float64)
	_, isInt := v.(int64)
	return isInt || isFloat
}

// show writes a value in a few words.
func show(v any) string {
	switch v := v.(type) {
	case string:
		if len(v) > 60 {
			v = v[:60] + "..."
		}
		return strconv.Quote(v)
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return fmt.Sprint(v)
}
