package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source"
)

// Each change of configuration is told once, by name; what changes nothing is not, nor what was there at the start, nor workloads.
func TestApplied(t *testing.T) {
	f := newFeed(synced(in("a.yaml", parse(t, twoServices))))
	o := options(t, state(t), f)
	var got []string
	o.Applied = func(a Applied) {
		got = append(got, fmt.Sprint(keyNames(a.New), keyNames(a.Changed), keyNames(a.Gone), keyNames(a.Refused)))
	}
	p := run(t, o)
	reviews := dialect.Key{Kind: "Service", Namespace: "default", Name: "reviews"}
	ported := strings.ReplaceAll(twoServices, "port: ", "port: 1")
	for _, x := range []struct {
		name string
		e    source.Event
		want []string
	}{
		{"the same, elsewhere", source.Event{Put: in("b.yaml", parse(t, twoServices))}, nil},
		{"gone that was never there", source.Event{Delete: []dialect.Key{{Kind: "Service", Name: "other"}}}, nil},
		{"changed", source.Event{Put: parse(t, ported)}, []string{"[] [ratings reviews] [] []"}},
		{"refused", source.Event{Put: parse(t, strings.ReplaceAll(twoServices, "port: ", "port: -"))}, []string{"[] [] [] [ratings reviews]"}},
		{"gone", source.Event{Delete: []dialect.Key{reviews}}, []string{"[] [] [reviews] []"}},
		{"new, and back", source.Event{Put: parse(t, ported)}, []string{"[reviews] [ratings] [] []"}},
		{"moved", source.Event{Put: parse(t, ported), Delete: []dialect.Key{reviews}}, nil},
	} {
		got = nil
		if f.emit(t, x.e); !slices.Equal(got, x.want) {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
	got = nil
	if err := p.do(func() { p.present(Simulated(Registration{Name: "a", Namespace: "default", Service: "a"}, 1, noon)) }); err != nil || got != nil {
		t.Errorf("a workload: %v, %q", err, got)
	}
}

func keyNames(keys []dialect.Key) (out []string) {
	for _, k := range keys {
		out = append(out, k.Name)
	}
	return out
}
