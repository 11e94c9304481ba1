package dialecttest

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/dialect/schema"
)

// others are values that a field may have instead of v, likely ones first; the last is none.
func others(s *schema.Schema, v any) (out []any) {
	switch v := v.(type) {
	case bool:
		out = append(out, !v)
	case int64:
		out = append(out, v+1, v-1)
	case float64:
		out = append(out, v+0.5, v/2)
	case string:
		out = texts(s, v)
	}
	return append(out, nil)
}

func texts(s *schema.Schema, v string) (out []any) {
	if s != nil {
		for _, other := range s.Enum {
			if other != v {
				out = append(out, other)
			}
		}
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		out = append(out, strconv.FormatInt(n+1, 10), strconv.FormatInt(n-1, 10))
	}
	if d, err := time.ParseDuration(v); err == nil {
		out = append(out, (d + time.Second).String(), (d / 2).String())
	}
	if a, err := netip.ParseAddr(v); err == nil {
		out = append(out, a.Next().String())
	}
	if p, err := netip.ParsePrefix(v); err == nil && p.Bits() > 0 {
		out = append(out, netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked().String())
	}
	if b, ok := map[string]string{"true": "false", "false": "true", "*": "other"}[v]; ok {
		out = append(out, b)
	}
	if strings.HasPrefix(v, "/") {
		out = append(out, "/other"+v)
	}
	return append(out, "other-"+v, v+"x", v+"/x")
}

// reparse reads JSON as sources give it: whole numbers stay whole.
func reparse(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree map[string]any
	err := d.Decode(&tree)
	return numbers(tree).(map[string]any), err
}

func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}
