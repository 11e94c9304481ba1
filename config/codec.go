package config

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync"
)

// Append encodes the struct that v points to in the wire format of Protocol Buffers: fields by their pb tag, unknown ones
// are skipped on the way back, so that proxies and control planes of neighbouring versions understand each other.
// A nil pointer is absent, a pointer to zero is present; fields without a tag stay at home. The same value gives the same
// bytes (https://protobuf.dev/programming-guides/encoding).
func Append(b []byte, v any) []byte {
	return appendStruct(b, reflect.ValueOf(v).Elem())
}

// Parse decodes what Append wrote into the zero struct that v points to. It keeps no part of b.
func Parse(b []byte, v any) error { return parseStruct(b, reflect.ValueOf(v).Elem(), 0) }

// maxDepth bounds messages inside messages; the deepest that is written has 9, and conditions may nest.
const maxDepth = 64

var (
	errShort = errors.New("config: message cut short")
	errType  = errors.New("config: wrong wire type")
	errRange = errors.New("config: number out of range")
	errDeep  = errors.New("config: messages nested too deep")
	binType  = reflect.TypeFor[encoding.BinaryMarshaler]()
	plans    sync.Map // reflect.Type -> *plan
)

type field struct {
	index int
	num   uint64
}

type plan struct {
	fields []field
	byNum  map[uint64]int
}

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{byNum: map[uint64]int{}}
	for i := range t.NumField() {
		if n, err := strconv.ParseUint(t.Field(i).Tag.Get("pb"), 10, 29); err == nil {
			if _, dup := p.byNum[n]; dup {
				panic(fmt.Sprintf("config: %v has field %d twice", t, n))
			}
			p.fields = append(p.fields, field{i, n})
			p.byNum[n] = i
		}
	}
	plans.Store(t, p)
	return p
}

func appendStruct(b []byte, v reflect.Value) []byte {
	for _, f := range planOf(v.Type()).fields {
		switch x := v.Field(f.index); {
		case isBytes(x.Type()):
			if x.Len() > 0 {
				b = appendField(b, f.num, x)
			}
		case x.Kind() == reflect.Slice:
			for i := range x.Len() {
				b = appendField(b, f.num, x.Index(i))
			}
		case x.Kind() == reflect.Pointer && !x.IsNil():
			b = appendField(b, f.num, x.Elem())
		case x.Kind() != reflect.Pointer && !x.IsZero():
			b = appendField(b, f.num, x)
		}
	}
	return b
}

func appendField(b []byte, num uint64, v reflect.Value) []byte {
	switch k := v.Kind(); {
	case v.Type().Implements(binType):
		p, _ := v.Interface().(encoding.BinaryMarshaler).MarshalBinary()
		b = binary.AppendUvarint(binary.AppendUvarint(b, num<<3|2), uint64(len(p)))
		return append(b, p...)
	case isBytes(v.Type()):
		b = binary.AppendUvarint(binary.AppendUvarint(b, num<<3|2), uint64(v.Len()))
		return append(b, v.Bytes()...)
	case k == reflect.String:
		b = binary.AppendUvarint(binary.AppendUvarint(b, num<<3|2), uint64(v.Len()))
		return append(b, v.String()...)
	case k == reflect.Struct:
		b = binary.AppendUvarint(b, num<<3|2)
		at := len(b)
		b = appendStruct(append(b, 0), v)
		var l [binary.MaxVarintLen64]byte
		n := binary.PutUvarint(l[:], uint64(len(b)-at-1))
		b = append(b, l[1:n]...)
		copy(b[at+n:], b[at+1:])
		copy(b[at:], l[:n])
		return b
	case k == reflect.Bool:
		return append(binary.AppendUvarint(b, num<<3), b2i(v.Bool()))
	case v.CanInt():
		return binary.AppendUvarint(binary.AppendUvarint(b, num<<3), uint64(v.Int()))
	case v.CanUint():
		return binary.AppendUvarint(binary.AppendUvarint(b, num<<3), v.Uint())
	case v.CanFloat():
		return binary.LittleEndian.AppendUint64(binary.AppendUvarint(b, num<<3|1), math.Float64bits(v.Float()))
	}
	panic("config: no wire form for " + v.Type().String())
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

func b2i(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func parseStruct(b []byte, v reflect.Value, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	p := planOf(v.Type())
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			return errShort
		}
		b = b[n:]
		num, data, rest, err := cut(key&7, b)
		if err != nil {
			return err
		}
		b = rest
		i, known := p.byNum[key>>3]
		if !known {
			continue
		}
		if err := set(v.Field(i), key&7, num, data, depth); err != nil {
			return fmt.Errorf("%s.%s: %w", v.Type(), v.Type().Field(i).Name, err)
		}
	}
	return nil
}

// cut takes one value of a wire type off b.
func cut(typ uint64, b []byte) (num uint64, data, rest []byte, err error) {
	switch typ {
	case 1:
		if len(b) < 8 {
			return 0, nil, nil, errShort
		}
		return binary.LittleEndian.Uint64(b), nil, b[8:], nil
	case 5: // nothing here is written so; a later version's may be
		if len(b) < 4 {
			return 0, nil, nil, errShort
		}
		return uint64(binary.LittleEndian.Uint32(b)), nil, b[4:], nil
	case 0, 2:
		num, n := binary.Uvarint(b)
		if n <= 0 || typ == 2 && num > uint64(len(b)-n) {
			return 0, nil, nil, errShort
		}
		if b = b[n:]; typ == 0 {
			return num, nil, b, nil
		}
		return 0, b[:num], b[num:], nil
	}
	return 0, nil, nil, errType
}

func set(x reflect.Value, typ, num uint64, data []byte, depth int) error {
	switch {
	case isBytes(x.Type()):
		if typ != 2 {
			return errType
		}
		x.SetBytes(append([]byte(nil), data...))
		return nil
	case x.Kind() == reflect.Slice:
		x.Set(reflect.Append(x, reflect.Zero(x.Type().Elem())))
		return set(x.Index(x.Len()-1), typ, num, data, depth)
	case x.Kind() == reflect.Pointer:
		x.Set(reflect.New(x.Type().Elem()))
		return set(x.Elem(), typ, num, data, depth)
	}
	bin, isBin := x.Addr().Interface().(encoding.BinaryUnmarshaler)
	switch want := wireType(x, isBin); {
	case want != typ:
		return errType
	case isBin:
		return bin.UnmarshalBinary(data)
	case x.Kind() == reflect.String:
		x.SetString(string(data))
	case x.Kind() == reflect.Struct:
		return parseStruct(data, x, depth+1)
	case x.Kind() == reflect.Bool:
		x.SetBool(num != 0)
	case x.CanInt() && !x.OverflowInt(int64(num)):
		x.SetInt(int64(num))
	case x.CanUint() && !x.OverflowUint(num):
		x.SetUint(num)
	case x.CanInt(), x.CanUint():
		return errRange
	case x.CanFloat():
		x.SetFloat(math.Float64frombits(num))
	}
	return nil
}

func wireType(x reflect.Value, isBin bool) uint64 {
	switch {
	case isBin || x.Kind() == reflect.String || x.Kind() == reflect.Struct:
		return 2
	case x.CanFloat():
		return 1
	}
	return 0
}
