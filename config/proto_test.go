package config_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/stream"
)

var update = flag.Bool("update", false, "write config.proto anew")

// TestProto generates config.proto from the pb tags, and compares (go generate ./config writes it).
func TestProto(t *testing.T) {
	got := render(describe())
	if *update {
		if err := os.WriteFile("config.proto", got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile("config.proto")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(is, got) {
		t.Error("config.proto is not what the types say; write it anew with: go generate ./config")
	}
}

// Another implementation of Protocol Buffers, told by config.proto alone, reads what Append wrote to the last field, and Parse
// reads what it writes.
func TestProtobufReadsTheSame(t *testing.T) {
	file, err := protodesc.NewFile(describe(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range slices.Concat(resources, messages) {
		typ := reflect.TypeOf(x)
		t.Run(typ.String(), func(t *testing.T) {
			v := fullOf(t, x)
			m := dynamicpb.NewMessage(file.Messages().ByName(protoreflect.Name(messageName(typ))))
			if err := proto.Unmarshal(config.Append(nil, v), m); err != nil {
				t.Fatal(err)
			}
			if n := unknown(m); n > 0 {
				t.Errorf("%d bytes are of fields that config.proto does not name", n)
			}
			theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			got := reflect.New(typ).Interface()
			if err := config.Parse(theirs, got); err != nil || !reflect.DeepEqual(got, v) {
				t.Errorf("%v: %+v\nbecame\n%+v", err, v, got)
			}
		})
	}
}

// unknown counts bytes of unknown fields, in messages inside too.
func unknown(m protoreflect.Message) (n int) {
	n = len(m.GetUnknown())
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				n += unknown(v.List().Get(i).Message())
			}
		default:
			n += unknown(v.Message())
		}
		return true
	})
	return n
}

// describe says of the types what their tags say.
func describe() *descriptorpb.FileDescriptorProto {
	f := &descriptorpb.FileDescriptorProto{Name: proto.String("config.proto"), Package: proto.String("weft.v1"), Syntax: proto.String("proto3")}
	each(func(t reflect.Type) { f.MessageType = append(f.MessageType, message(t)) })
	slices.SortFunc(f.MessageType, func(a, b *descriptorpb.DescriptorProto) int { return strings.Compare(a.GetName(), b.GetName()) })
	name := func(v any) *string { return proto.String(".weft.v1." + messageName(reflect.TypeOf(v))) }
	f.Service = []*descriptorpb.ServiceDescriptorProto{{Name: proto.String(strings.TrimPrefix(stream.Service, "weft.v1.")), Method: []*descriptorpb.MethodDescriptorProto{
		{Name: proto.String(path.Base(stream.MethodStream)), InputType: name(stream.Up{}), OutputType: name(stream.Down{}),
			ClientStreaming: proto.Bool(true), ServerStreaming: proto.Bool(true)},
		{Name: proto.String(path.Base(stream.MethodCertify)), InputType: name(stream.CertifyRequest{}), OutputType: name(stream.CertifyResponse{})},
		{Name: proto.String(path.Base(stream.MethodStanding)), InputType: name(stream.StandingRequest{}), OutputType: name(stream.StandingResponse{})},
	}}}
	return f
}

// messageName is the type's, with its package's name before it where it is not of config or stream.
func messageName(t reflect.Type) string {
	if pkg := path.Base(t.PkgPath()); pkg != "config" && pkg != "stream" {
		return strings.ToUpper(pkg[:1]) + pkg[1:] + t.Name()
	}
	return t.Name()
}

func message(t reflect.Type) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: proto.String(messageName(t))}
	for i := range t.NumField() {
		f := t.Field(i)
		n, err := strconv.ParseInt(f.Tag.Get("pb"), 10, 32)
		if err != nil {
			continue
		}
		d := &descriptorpb.FieldDescriptorProto{Name: proto.String(snake(f.Name)), JsonName: proto.String(f.Name), Number: proto.Int32(int32(n)),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		one := f.Type
		switch {
		case one.Kind() == reflect.Slice && one.Elem().Kind() != reflect.Uint8:
			d.Label, one = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(), one.Elem()
		case one.Kind() == reflect.Pointer:
			one = one.Elem()
			if isScalar(one) { // absent and zero are different
				d.Proto3Optional, d.OneofIndex = proto.Bool(true), proto.Int32(int32(len(m.OneofDecl)))
				m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + d.GetName())})
			}
		}
		fieldType(d, one)
		m.Field = append(m.Field, d)
	}
	return m
}

func isScalar(t reflect.Type) bool { return t.Kind() != reflect.Struct || isBinary(t) }

func fieldType(d *descriptorpb.FieldDescriptorProto, t reflect.Type) {
	kinds := map[reflect.Kind]descriptorpb.FieldDescriptorProto_Type{
		reflect.String: descriptorpb.FieldDescriptorProto_TYPE_STRING, reflect.Bool: descriptorpb.FieldDescriptorProto_TYPE_BOOL,
		reflect.Uint8: descriptorpb.FieldDescriptorProto_TYPE_UINT32, reflect.Uint16: descriptorpb.FieldDescriptorProto_TYPE_UINT32,
		reflect.Uint32: descriptorpb.FieldDescriptorProto_TYPE_UINT32, reflect.Uint64: descriptorpb.FieldDescriptorProto_TYPE_UINT64,
		reflect.Int: descriptorpb.FieldDescriptorProto_TYPE_INT64, reflect.Int64: descriptorpb.FieldDescriptorProto_TYPE_INT64,
		reflect.Float64: descriptorpb.FieldDescriptorProto_TYPE_DOUBLE,
	}
	switch {
	case isBinary(t), t.Kind() == reflect.Slice:
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
	case t.Kind() == reflect.Struct:
		d.Type, d.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(".weft.v1."+messageName(t))
	default:
		d.Type = kinds[t.Kind()].Enum()
		if d.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED && t.Kind() != reflect.String {
			d.Options = &descriptorpb.FieldOptions{Packed: proto.Bool(false)}
		}
	}
}

// snake writes a Go name as fields of messages are written: MTLS is mtls, NotBefore is not_before.
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		upper := c >= 'A' && c <= 'Z'
		after := i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z'
		before := i > 0 && i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z'
		if upper && (after || before) {
			b.WriteByte('_')
		}
		b.WriteRune(c)
	}
	return strings.ToLower(b.String())
}

const head = `// Code generated from the pb tags of Go types by go generate ./config; DO NOT EDIT.

// What proxies of weft get, and how. A Resource's name is KIND/KEY and says which message its body is: service/HOST Service,
// address/IP Address, workload/NAMESPACE/NAME Workload, peer/NAMESPACE/NAME Peer, pod/IP Pod, trust/DOMAIN Trust,
// gateway/NAMESPACE/NAME Gateway. Durations are nanoseconds; addresses are 4 or 16 bytes, with two more for a port (little endian) or one for the length of a prefix;
// identities are SPIFFE IDs; the numbers of kinds and modes are those of the Go constants.
`

func render(f *descriptorpb.FileDescriptorProto) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nsyntax = %q;\n\npackage %s;\n", head, f.GetSyntax(), f.GetPackage())
	for _, s := range f.Service {
		fmt.Fprintf(&b, "\nservice %s {\n", s.GetName())
		for _, m := range s.Method {
			fmt.Fprintf(&b, "  rpc %s(%s%s) returns (%s%s);\n", m.GetName(), streams(m.GetClientStreaming()), local(m.GetInputType()),
				streams(m.GetServerStreaming()), local(m.GetOutputType()))
		}
		b.WriteString("}\n")
	}
	for _, m := range f.MessageType {
		fmt.Fprintf(&b, "\nmessage %s {\n", m.GetName())
		for _, d := range m.Field {
			fmt.Fprintf(&b, "  %s%s %s = %d%s;\n", label(d), typeName(d), d.GetName(), d.GetNumber(), options(d))
		}
		b.WriteString("}\n")
	}
	return b.Bytes()
}

func local(name string) string { return strings.TrimPrefix(name, ".weft.v1.") }

func streams(yes bool) string {
	if yes {
		return "stream "
	}
	return ""
}

func label(d *descriptorpb.FieldDescriptorProto) string {
	switch {
	case d.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED:
		return "repeated "
	case d.GetProto3Optional():
		return "optional "
	}
	return ""
}

func typeName(d *descriptorpb.FieldDescriptorProto) string {
	if d.TypeName != nil {
		return local(d.GetTypeName())
	}
	return strings.ToLower(strings.TrimPrefix(d.GetType().String(), "TYPE_"))
}

func options(d *descriptorpb.FieldDescriptorProto) string {
	if d.Options != nil {
		return " [packed = false]"
	}
	return ""
}
