package dialect

import (
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Clear sets to zero, in the value of the API's Go type that o points to, most of what Prune takes out of its tree: to make a tree of all
// the rest takes ten times as long as to decode it.
func (p *Pruner) Clear(o metav1.Object) {
	o.SetManagedFields(nil)
	if len(p.whole) == 0 {
		p.clear(reflect.ValueOf(o), p.fields)
	}
}

func (p *Pruner) clear(v reflect.Value, f *field) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			p.clear(v.Elem(), f)
		}
	case reflect.Slice:
		if elem := f.step("[]"); elem != nil {
			for i := range v.Len() {
				p.clear(v.Index(i), elem)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			p.clearField(v.Type().Field(i), v.Field(i), f)
		}
	}
}

func (p *Pruner) clearField(t reflect.StructField, v reflect.Value, f *field) {
	name, options, _ := strings.Cut(t.Tag.Get("json"), ",")
	if strings.Contains(options, "inline") {
		p.clear(v, f)
		return
	}
	switch step := f.step(name); {
	case step == nil:
	case step.ignored && step.all && !step.matters():
		v.SetZero()
	case step.below != nil && !(step.ignored && step.all):
		p.clear(v, step)
	}
}
