package schema

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// known are messages that JSON writes in a way of their own (protobuf's JSON mapping).
var known = map[protoreflect.FullName]Type{
	"google.protobuf.Duration":    DurationType,
	"google.protobuf.Timestamp":   StringType,
	"google.protobuf.Struct":      AnyType,
	"google.protobuf.Value":       AnyType,
	"google.protobuf.ListValue":   AnyType,
	"google.protobuf.Any":         AnyType,
	"google.protobuf.FieldMask":   StringType,
	"google.protobuf.BoolValue":   BoolType,
	"google.protobuf.StringValue": StringType,
	"google.protobuf.BytesValue":  StringType,
	"google.protobuf.Int32Value":  IntType,
	"google.protobuf.UInt32Value": IntType,
	"google.protobuf.Int64Value":  IntType,
	"google.protobuf.UInt64Value": IntType,
	"google.protobuf.FloatValue":  NumberType,
	"google.protobuf.DoubleValue": NumberType,
}

func (b *builder) message(d protoreflect.MessageDescriptor) *Schema {
	if t, ok := known[d.FullName()]; ok {
		s := &Schema{Type: t}
		if t == IntType {
			s.Range = rangeOf(d.Fields().ByName("value").Kind())
		}
		return s
	}
	if s, begun := b.messages[d.FullName()]; begun {
		return s
	}
	s := &Schema{Type: ObjectType, Fields: map[string]*Schema{}}
	b.messages[d.FullName()] = s
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		s.Fields[f.JSONName()] = b.field(f)
		if required(f) {
			s.Required = append(s.Required, f.JSONName())
		}
	}
	for i := range d.Oneofs().Len() {
		if one := d.Oneofs().Get(i); !one.IsSynthetic() {
			s.OneOf = append(s.OneOf, jsonNames(one.Fields()))
		}
	}
	return s
}

func jsonNames(fields protoreflect.FieldDescriptors) (out []string) {
	for i := range fields.Len() {
		out = append(out, fields.Get(i).JSONName())
	}
	return out
}

func (b *builder) field(f protoreflect.FieldDescriptor) *Schema {
	switch {
	case f.IsMap():
		return &Schema{Type: MapType, Elem: b.single(f.MapValue()), Numbers: f.MapKey().Kind() == protoreflect.Uint32Kind}
	case f.IsList():
		return &Schema{Type: ListType, Elem: b.single(f)}
	}
	return b.single(f)
}

func (b *builder) single(f protoreflect.FieldDescriptor) *Schema {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return b.message(f.Message())
	case protoreflect.EnumKind:
		return &Schema{Type: StringType, Enum: enumNames(f.Enum().Values())}
	case protoreflect.BoolKind:
		return &Schema{Type: BoolType}
	case protoreflect.StringKind, protoreflect.BytesKind:
		return &Schema{Type: StringType}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return &Schema{Type: NumberType}
	}
	return &Schema{Type: IntType, Range: rangeOf(f.Kind())}
}

// rangeOf is of a kind of whole numbers; what is not written with 32 bits holds any.
func rangeOf(k protoreflect.Kind) [2]float64 {
	switch k {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return [2]float64{math.MinInt32, math.MaxInt32}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return [2]float64{0, math.MaxUint32}
	}
	return [2]float64{}
}

func enumNames(values protoreflect.EnumValueDescriptors) (out []string) {
	for i := range values.Len() {
		out = append(out, string(values.Get(i).Name()))
	}
	return out
}

const (
	fieldBehavior   = 1052 // google.api.field_behavior, an extension of FieldOptions
	behaviorRequire = 2    // google.api.FieldBehavior.REQUIRED
)

// required reads google.api.field_behavior from the options' bytes, whether the package that knows the extension is linked or
// not.
func required(f protoreflect.FieldDescriptor) bool {
	raw, _ := proto.Marshal(f.Options())
	for len(raw) > 0 {
		num, typ, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(num, typ, raw[n:])
		if size < 0 {
			return false
		}
		if num == fieldBehavior && hasRequire(typ, raw[n:n+size]) {
			return true
		}
		raw = raw[n+size:]
	}
	return false
}

func hasRequire(typ protowire.Type, value []byte) bool {
	if typ == protowire.BytesType { // packed
		value, _ = protowire.ConsumeBytes(value)
	}
	for len(value) > 0 {
		v, n := protowire.ConsumeVarint(value)
		if n < 0 {
			return false
		}
		if v == behaviorRequire {
			return true
		}
		value = value[n:]
	}
	return false
}
