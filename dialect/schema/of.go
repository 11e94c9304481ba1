package schema

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Of is the shape of an API's Go type as its JSON tags give it: embedded and inline structs are part of what is around
// them; a protobuf message is read from its descriptor, with enums, required fields and oneofs; a type that reads its own
// JSON holds anything. Whether other fields are required, and which strings they may hold, Go types do not say: SetEnum,
// SetType and Require add it. Each call builds a schema of its own.
func Of(t reflect.Type) *Schema {
	b := builder{types: map[reflect.Type]*Schema{}, messages: map[protoreflect.FullName]*Schema{}}
	return b.of(t)
}

// builder remembers what it has begun, so that types may contain themselves.
type builder struct {
	types    map[reflect.Type]*Schema
	messages map[protoreflect.FullName]*Schema
}

// leaves are types whose JSON their Go shape does not show.
var leaves = map[reflect.Type]Type{
	reflect.TypeFor[metav1.Time]():        StringType,
	reflect.TypeFor[metav1.MicroTime]():   StringType,
	reflect.TypeFor[time.Time]():          StringType,
	reflect.TypeFor[metav1.Duration]():    DurationType,
	reflect.TypeFor[intstr.IntOrString](): IntOrStringType,
	reflect.TypeFor[resource.Quantity]():  QuantityType,
	reflect.TypeFor[[]byte]():             StringType,
	reflect.TypeFor[json.Number]():        NumberType,
}

var (
	message     = reflect.TypeFor[protoreflect.ProtoMessage]()
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
)

func (b *builder) of(t reflect.Type) *Schema {
	if t.Kind() == reflect.Pointer {
		return b.of(t.Elem())
	}
	if leaf, ok := leaves[t]; ok {
		return &Schema{Type: leaf}
	}
	if p := reflect.PointerTo(t); p.Implements(message) {
		return b.message(reflect.New(t).Interface().(protoreflect.ProtoMessage).ProtoReflect().Descriptor())
	} else if p.Implements(unmarshaler) {
		return &Schema{}
	}
	switch t.Kind() {
	case reflect.Struct:
		return b.object(t)
	case reflect.Map:
		return &Schema{Type: MapType, Elem: b.of(t.Elem())}
	case reflect.Slice, reflect.Array:
		return &Schema{Type: ListType, Elem: b.of(t.Elem())}
	}
	s := &Schema{Type: scalar(t.Kind())}
	switch t.Kind() {
	case reflect.Int32:
		s.Range = rangeOf(protoreflect.Int32Kind)
	case reflect.Uint32:
		s.Range = rangeOf(protoreflect.Uint32Kind)
	}
	return s
}

func scalar(k reflect.Kind) Type {
	switch {
	case k == reflect.String:
		return StringType
	case k == reflect.Bool:
		return BoolType
	case k >= reflect.Int && k <= reflect.Uintptr:
		return IntType
	case k == reflect.Float32 || k == reflect.Float64:
		return NumberType
	}
	return AnyType
}

func (b *builder) object(t reflect.Type) *Schema {
	if s, begun := b.types[t]; begun {
		return s
	}
	s := &Schema{Type: ObjectType, Fields: map[string]*Schema{}}
	b.types[t] = s
	b.fields(t, s.Fields)
	return s
}

func (b *builder) fields(t reflect.Type, into map[string]*Schema) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case inner.Kind() == reflect.Struct && (name == "" && f.Anonymous || strings.Contains(options, "inline")):
			b.fields(inner, into)
		case name == "":
			into[f.Name] = b.of(f.Type)
		default:
			into[name] = b.of(f.Type)
		}
	}
}
