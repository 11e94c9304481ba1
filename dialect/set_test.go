package dialect_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source/files"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// thing is an object of the made-up dialect.
func thing(t testing.TB, name, spec string) *dialect.Object {
	t.Helper()
	return object(t, "things.yaml", name, "v1", spec, t0)
}

func object(t testing.TB, file, name, version, spec string, now time.Time) *dialect.Object {
	t.Helper()
	yaml := fmt.Sprintf("apiVersion: things.example.com/%s\nkind: Thing\nmetadata:\n  name: %s\nspec: %s", version, name, spec)
	objects, found := files.Parse(kinds(), file, []byte(yaml), now)
	if len(found) > 0 {
		t.Fatal(found)
	}
	return objects[0]
}

func key(name string) dialect.Key {
	return dialect.Key{Group: "things.example.com", Kind: "Thing", Namespace: "default", Name: name}
}

// say writes a change as "name: before -> after", a part as its host and its number of ports.
func say(changes map[dialect.Key]dialect.Change) string {
	var out []string
	for _, k := range slices.SortedFunc(maps.Keys(changes), dialect.Key.Compare) {
		out = append(out, k.Name+": "+short(changes[k].Old)+" -> "+short(changes[k].New))
	}
	return strings.Join(out, ", ")
}

func short(p mesh.Part) string {
	if p.Empty() {
		return "nothing"
	}
	return fmt.Sprintf("%s/%d", p.Services[0].Host, len(p.Services[0].Ports))
}

func texts(s *dialect.Set) (out []string) {
	for _, f := range s.Findings() {
		out = append(out, f.Position.String()+" "+f.Level.String()+" "+f.Field+": "+f.Text)
	}
	return out
}

func TestSet(t *testing.T) {
	s := dialect.NewSet(kinds())
	for _, step := range []struct {
		name string
		put  map[string]string
		gone []string
		want string
	}{
		{name: "new", put: map[string]string{"a": "{host: a}"}, want: "a: nothing -> a/0"},
		{name: "the same again", put: map[string]string{"a": "{host: a}"}},
		{name: "changed", put: map[string]string{"a": "{host: b}"}, want: "a: a/0 -> b/0"},
		{name: "who asks for what is not there", put: map[string]string{"x": "{host: of:late}"}, want: "x: nothing -> of:late/0"},
		{name: "it comes", put: map[string]string{"late": "{host: l}"}, want: "late: nothing -> l/0, x: of:late/0 -> of:late/1"},
		{name: "it changes", put: map[string]string{"late": "{host: l, rules: [{name: r}]}"}, want: "late: l/0 -> l/1, x: of:late/1 -> of:late/2"},
		{name: "it goes", gone: []string{"late"}, want: "late: l/1 -> nothing, x: of:late/2 -> of:late/0"},
		{name: "who asks for all", put: map[string]string{"p": "{host: 'all:'}", "q": "{host: 'all:default'}", "r": "{host: 'all:other'}"},
			want: "p: nothing -> all:/5, q: nothing -> all:default/5, r: nothing -> all:other/0"},
		{name: "one more", put: map[string]string{"late": "{host: l}"},
			want: "late: nothing -> l/0, p: all:/5 -> all:/6, q: all:default/5 -> all:default/6, x: of:late/0 -> of:late/1"},
		{name: "asks no more", put: map[string]string{"x": "{host: x}", "p": "{host: p2}", "q": "{host: q2}"},
			want: "p: all:/6 -> p2/0, q: all:default/6 -> q2/0, x: of:late/1 -> x/0"},
		{name: "gone, nobody asks", gone: []string{"late", "never"}, want: "late: l/0 -> nothing"},
		{name: "gone and new at once", gone: []string{"a"}, put: map[string]string{"a": "{host: b}"}},
		{name: "bad from the start", put: map[string]string{"bad": "{host: bad}", "worse": "{host: [1]}"}},
		{name: "bad comes right", put: map[string]string{"bad": "{host: good}"}, want: "bad: nothing -> good/0"},
	} {
		var put []*dialect.Object
		for _, name := range slices.Sorted(maps.Keys(step.put)) {
			put = append(put, thing(t, name, step.put[name]))
		}
		var gone []dialect.Key
		for _, name := range step.gone {
			gone = append(gone, key(name))
		}
		if got := say(s.Apply(put, gone)); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
}

// DESIGN section 10: "malformed object: a finding and a status naming the field; the last good version stays in force".
func TestSetLastGood(t *testing.T) {
	s := dialect.NewSet(kinds())
	s.Put(object(t, "old.yaml", "a", "v1", "{host: a, rules: [{name: r}]}", t0))
	s.Put(thing(t, "x", "{host: of:a}"))
	for _, bad := range []string{"{host: bad}", "{host: [a]}", "{}"} {
		if got := say(s.Put(thing(t, "a", bad))); got != "" {
			t.Errorf("%s: %s", bad, got)
		}
		if text := strings.Join(texts(s), "\n"); !strings.HasSuffix(text, "; the last good version, of old.yaml:1, stays in force") {
			t.Errorf("%s: %s", bad, text)
		}
	}
	if got := say(s.Put(thing(t, "x", "{host: of:a, active: true}"))); got != "" {
		t.Errorf("another object sees what is not in force: %s", got)
	}
	if good := s.Good(every); len(good) != 2 || good[0].Source.File != "old.yaml" {
		t.Errorf("good are %v", good)
	}
	if o := s.Get("things.example.com", "Thing", "default", "a"); o == nil || o.Source.File != "things.yaml" {
		t.Errorf("the newest is %v", o)
	}
	if got := say(s.Put(thing(t, "a", "{host: better}"))); got != "a: a/1 -> better/0, x: of:a/2 -> of:a/1" {
		t.Error(got)
	}
	if text := texts(s); len(text) > 0 {
		t.Error(text)
	}
	s.Put(thing(t, "a", "{host: bad}"))
	if got := say(s.Delete(key("a"))); got != "a: better/0 -> nothing, x: of:a/1 -> of:a/0" {
		t.Errorf("gone: %s", got)
	}
	if got := say(s.Put(thing(t, "a", "{host: bad}"))); got != "" {
		t.Errorf("a good version outlived its object: %s", got)
	}
}

// A version that was good and is not any more, since what it asks for changed, is not in force, and comes back.
func TestSetDependsOnOthers(t *testing.T) {
	needs := kinds()
	needs[0].Lower = func(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
		part, found := lowerThing(o, v)
		if need := o.Annotations["need"]; need != "" && v.Get(o.Group, o.Kind, o.Namespace, need) == nil {
			found = append(found, mesh.Finding{Text: need + " is not there", Level: mesh.Error})
		}
		return part, found
	}
	s := dialect.NewSet(needs)
	with := func(name, need string) *dialect.Object {
		o := *thing(t, name, "{host: "+name+"}")
		o.Annotations = map[string]string{"need": need}
		return &o
	}
	for _, step := range []struct {
		put  *dialect.Object
		gone string
		want string
	}{
		{put: with("c", "b")}, {put: with("b", "a")},
		{put: with("a", ""), want: "a: nothing -> a/0, b: nothing -> b/0, c: nothing -> c/0"},
		{gone: "a", want: "a: a/0 -> nothing, b: b/0 -> nothing, c: c/0 -> nothing"},
		{put: with("a", ""), want: "a: nothing -> a/0, b: nothing -> b/0, c: nothing -> c/0"},
		{put: with("a", "a"), want: ""},
		{put: with("a", "c"), want: ""},
	} {
		var got map[dialect.Key]dialect.Change
		if step.put != nil {
			got = s.Put(step.put)
		} else {
			got = s.Delete(key(step.gone))
		}
		if say(got) != step.want {
			t.Errorf("%+v: got %q, want %q", step, say(got), step.want)
		}
	}
}

// A change costs what it touches: those who asked, and nobody else.
func TestSetLowersDependentsOnly(t *testing.T) {
	counted, lowered := kinds(), map[string]int{}
	counted[0].Lower = func(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
		lowered[o.Name]++
		return lowerThing(o, v)
	}
	s := dialect.NewSet(counted)
	var all []*dialect.Object
	for i := range 100 {
		all = append(all, thing(t, fmt.Sprintf("t%d", i), fmt.Sprintf("{host: h%d}", i)))
	}
	s.Apply(append(all, thing(t, "x", "{host: of:t7}"), thing(t, "w", "{host: of:t8}")), nil)
	clear(lowered)
	s.Put(thing(t, "t7", "{host: h7, rules: [{name: r}]}"))
	if want := map[string]int{"t7": 1, "x": 1}; !maps.Equal(lowered, want) {
		t.Errorf("lowered %v, want %v", lowered, want)
	}
	clear(lowered)
	s.Put(object(t, "elsewhere.yaml", "t7", "v1", "{host: h7, rules: [{name: r}]}", t0.Add(time.Hour)))
	if len(lowered) > 0 {
		t.Errorf("an object that only moved made %v be lowered", lowered)
	}
	if at := s.Locate(mesh.Finding{Ref: decision.Ref{Dialect: decision.Istio, Kind: "Thing", Namespace: "default", Name: "t7"}}); at.String() != "elsewhere.yaml:1" {
		t.Errorf("it is at %v", at)
	}
}

// Which objects of a kind are asked for by name is known, there or not, and no longer than somebody asks.
func TestSetSeeks(t *testing.T) {
	s := dialect.NewSet(kinds())
	s.Seek("things.example.com", "Thing")
	expect := func(want ...string) {
		t.Helper()
		got, _ := s.Sought()
		var names []string
		for _, k := range got {
			names = append(names, k.Name)
		}
		if slices.Sort(names); !slices.Equal(names, want) {
			t.Errorf("sought %v, want %v", names, want)
		}
	}
	s.Put(thing(t, "x", "{host: of:a}"))
	s.Put(thing(t, "w", "{host: of:a}"))
	s.Put(thing(t, "z", "{host: of:b}"))
	expect("a", "b")
	if _, anew := s.Sought(); anew {
		t.Error("there is nothing new")
	}
	s.Put(thing(t, "z", "{host: of:c}"))
	s.Delete(key("x"))
	expect("a", "c")
	s.Delete(key("w"))
	expect("c")
}

// What an object says stands where it stood, also when it was lowered again and says the same: a mesh finds by that what it is to forget.
func TestSetSaysTheSameInOnePlace(t *testing.T) {
	s := dialect.NewSet(kinds())
	first := s.Apply([]*dialect.Object{thing(t, "t", "{host: h}"), thing(t, "x", "{host: of:t}")}, nil)[key("x")].New
	if got := say(s.Put(thing(t, "t", "{host: i}"))); got != "t: h/0 -> i/0" {
		t.Fatal(got)
	}
	last := s.Apply(nil, []dialect.Key{key("x")})[key("x")].Old
	if &first.Services[0] != &last.Services[0] {
		t.Error("what it said last stands elsewhere than what it said first")
	}
}

// Two objects that undo each other end in some state, always the same.
func TestSetCircle(t *testing.T) {
	circle := kinds()
	circle[0].Lower = func(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
		if v.Get(o.Group, o.Kind, o.Namespace, o.Annotations["not"]) != nil {
			return mesh.Part{}, []mesh.Finding{{Text: "not with the other", Level: mesh.Error}}
		}
		return lowerThing(o, v)
	}
	result := func() string {
		s := dialect.NewSet(circle)
		a, b := *thing(t, "a", "{host: a}"), *thing(t, "b", "{host: b}")
		a.Annotations, b.Annotations = map[string]string{"not": "b"}, map[string]string{"not": "a"}
		return say(s.Apply([]*dialect.Object{&a, &b}, nil)) + strings.Join(texts(s), "\n")
	}
	want := result()
	for range 10 {
		if got := result(); got != want {
			t.Fatalf("%s, and then %s", want, got)
		}
	}
}

func TestSetKeepsCreation(t *testing.T) {
	s := dialect.NewSet(kinds())
	s.Put(thing(t, "a", "{host: a}"))
	s.Put(object(t, "a.yaml", "a", "v1", "{host: b}", t0.Add(time.Hour)))
	if o := s.Get("things.example.com", "Thing", "default", "a"); !o.Created.Equal(t0) {
		t.Errorf("created %v, want %v", o.Created, t0)
	}
	o := object(t, "a.yaml", "a", "v1", "{host: b}", t0.Add(2*time.Hour))
	o.Tree["metadata"].(map[string]any)["creationTimestamp"] = "2026-01-02T05:04:05Z"
	s.Put(o)
	if o := s.Get("things.example.com", "Thing", "default", "a"); !o.Created.Equal(t0.Add(2 * time.Hour)) {
		t.Errorf("created %v, which is not what it says", o.Created)
	}
}

func TestSetListIsSorted(t *testing.T) {
	var names []string
	sorted := kinds()
	sorted[0].Lower = func(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
		names = nil
		for _, o := range v.List("things.example.com", "Thing", "") {
			names = append(names, o.Name)
		}
		return mesh.Part{}, nil
	}
	s := dialect.NewSet(sorted)
	s.Apply([]*dialect.Object{thing(t, "c", "{host: c}"), object(t, "f", "d", "v1", "{host: d}", t0.Add(-time.Second)), thing(t, "b", "{host: b}")}, nil)
	if want := []string{"d", "b", "c"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestSetFindings(t *testing.T) {
	s := dialect.NewSet(kinds())
	yaml := "apiVersion: things.example.com/v1\nkind: Thing\nmetadata: {name: b}\nspec:\n  host: h\n  mode: x\n  wieght: 1\n---\n" +
		"apiVersion: things.example.com/v1\nkind: Thign\nmetadata: {name: c}\n"
	objects, _ := files.Parse(kinds(), "b.yaml", []byte(yaml), t0)
	s.Apply(append(objects, object(t, "a.yaml", "a", "v1", "{host: h, mode: z}", t0)), nil)
	s.Report("files", []dialect.Located{{Position: dialect.Position{File: "aa.yaml", Line: 7}, Finding: mesh.Finding{Text: "not YAML", Level: mesh.Error}}})
	want := []string{`a.yaml:5 error spec.mode: "z" is none of STRICT, PERMISSIVE`, "aa.yaml:7 error : not YAML",
		`b.yaml:6 error spec.mode: "x" is none of STRICT, PERMISSIVE`, "b.yaml:7 warning spec.wieght: unknown field: it has no effect",
		"b.yaml:9 warning : kind Thign of things.example.com is not known: the object has no effect"}
	got := texts(s)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	ref := decision.Ref{Dialect: decision.Istio, Kind: "Thing", Namespace: "default", Name: "b"}
	for f, want := range map[mesh.Finding]string{
		{Ref: ref, Field: "spec.mode"}: "b.yaml:6", {Ref: ref.At("spec.mode")}: "b.yaml:6", {Ref: ref.At("spec"), Field: "spec.host.x"}: "b.yaml:5",
		{Ref: ref}: "b.yaml:1", {Ref: decision.Ref{Kind: "Other"}}: "",
	} {
		if at := s.Locate(f).String(); at != want {
			t.Errorf("%v is at %s, want %s", f, at, want)
		}
	}
	if s.Report("files", nil); len(s.Findings()) != 4 {
		t.Error("a report stays that was replaced")
	}
}

// However objects come, a Set that grew says what a Set says that was given all at once: the fast way against the plain one.
func TestSetIsItsObjects(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	specs := []string{"{host: h}", "{host: of:a}", "{host: of:b, rules: [{name: r}]}", "{host: 'all:'}", "{host: 'all:default'}", "{host: i, rules: [{name: r}]}"}
	names := []string{"a", "b", "c", "d"}
	for range 200 {
		grown, now := dialect.NewSet(kinds()), map[string]*dialect.Object{}
		parts := map[dialect.Key]mesh.Part{}
		for range 12 {
			var put []*dialect.Object
			var gone []dialect.Key
			for range 1 + r.IntN(3) {
				name := names[r.IntN(len(names))]
				if r.IntN(3) == 0 {
					gone = append(gone, key(name))
					continue
				}
				put = append(put, thing(t, name, specs[r.IntN(len(specs))]))
			}
			for _, k := range gone {
				delete(now, k.Name)
			}
			for _, o := range put {
				now[o.Name] = o
			}
			for k, c := range grown.Apply(put, gone) {
				if !reflect.DeepEqual(parts[k], c.Old) {
					t.Fatalf("%v said %+v, and the change says %+v", k, parts[k], c.Old)
				}
				if parts[k] = c.New; c.New.Empty() {
					delete(parts, k)
				}
			}
		}
		whole := dialect.NewSet(kinds())
		whole.Apply(slices.Collect(maps.Values(now)), nil)
		if !reflect.DeepEqual(grown.Parts(), whole.Parts()) || !reflect.DeepEqual(parts, whole.Parts()) {
			t.Fatalf("grown %v, told %v, whole %v", grown.Parts(), parts, whole.Parts())
		}
		if !reflect.DeepEqual(texts(grown), texts(whole)) {
			t.Fatalf("grown %v, whole %v", texts(grown), texts(whole))
		}
	}
}

func TestUnique(t *testing.T) {
	a, b := object(t, "a.yaml", "x", "v1", "{host: a}", t0), object(t, "b.yaml", "x", "v1beta1", "{host: b}", t0)
	other := object(t, "b.yaml", "y", "v1", "{host: b}", t0)
	kept, found := dialect.Unique(kinds(), []*dialect.Object{a, b, other})
	if !slices.Equal(kept, []*dialect.Object{a, other}) {
		t.Errorf("kept %v", kept)
	}
	if len(found) != 1 || found[0].Finding.String() != "Thing default/x (istio): the object at a.yaml:1 has the same name, is read first, "+
		"and stays in force; remove one of them, or give it another name" || found[0].Position != b.Source || found[0].Level != mesh.Error {
		t.Errorf("found %v", found)
	}
	nameless := *a
	nameless.Name = ""
	if _, found = dialect.Unique(kinds(), []*dialect.Object{&nameless, &nameless}); len(found) != 1 || found[0].Field != "metadata.name" {
		t.Errorf("found %v", found)
	}
}

// BenchmarkSetPut is one Pod-sized change among 10,000 objects.
func BenchmarkSetPut(b *testing.B) {
	s := dialect.NewSet(kinds())
	var all []*dialect.Object
	for i := range 10_000 {
		all = append(all, thing(b, fmt.Sprintf("t%d", i), "{host: h}"))
	}
	s.Apply(all, nil)
	versions := []*dialect.Object{thing(b, "t7", "{host: one}"), thing(b, "t7", "{host: two}")}
	b.ReportAllocs()
	for i := range b.N {
		s.Put(versions[i%2])
	}
}

// What a control plane keeps over a restart is the same to it when its files come again: nothing changes, and nothing gets younger.
func TestSetRestored(t *testing.T) {
	before := dialect.NewSet(kinds())
	before.Put(thing(t, "a", "{host: h, rules: [{name: r}], port: 80}"))
	text, err := json.Marshal(before.Good(every))
	if err != nil {
		t.Fatal(err)
	}
	var kept []*dialect.Object
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	after := dialect.NewSet(kinds())
	after.Apply(kept, nil)
	if !reflect.DeepEqual(before.Parts(), after.Parts()) {
		t.Errorf("%v, and restored %v", before.Parts(), after.Parts())
	}
	if got := say(after.Put(object(t, "things.yaml", "a", "v1", "{host: h, rules: [{name: r}], port: 80}", t0.Add(time.Hour)))); got != "" {
		t.Error(got)
	}
	if o := after.Get("things.example.com", "Thing", "default", "a"); !o.Created.Equal(t0) {
		t.Errorf("created %v", o.Created)
	}
	if got := say(after.Put(thing(t, "a", "{host: bad}"))); got != "" {
		t.Errorf("the last good version of before is lost: %s", got)
	}
}

func every(dialect.Key) bool { return true }

// TestSetFinds: who looks for the objects of a key finds those that are in force, in the order of a list; each version is read for its keys
// once, whoever looks; and who looked is read again when there are others.
func TestSetFinds(t *testing.T) {
	read := 0
	byRule := &dialect.Lookup{Group: "things.example.com", Kind: "Thing", Keys: func(o *dialect.Object) (keys []string) {
		read++
		spec, _ := o.Tree["spec"].(map[string]any)
		rules, _ := spec["rules"].([]any)
		for _, r := range rules {
			m, _ := r.(map[string]any)
			name, _ := m["name"].(string)
			keys = append(keys, name)
		}
		return keys
	}}
	asking := kinds()
	for i := range asking {
		if k := &asking[i]; k.Name == "Thing" {
			k.Lower = func(o *dialect.Object, v dialect.View) (p mesh.Part, _ []mesh.Finding) {
				host := ""
				for _, x := range v.Find(byRule, "a") {
					host += x.Name
				}
				return mesh.Part{Services: []mesh.Service{{Host: o.Name + ":" + host}}}, nil
			}
		}
	}
	s := dialect.NewSet(asking)
	hosts := func() string {
		var out []string
		for _, p := range s.Parts() {
			out = append(out, p.Services[0].Host)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	three := []*dialect.Object{thing(t, "z", "{host: h, rules: [{name: a}, {name: a}]}"), thing(t, "w", "{host: h, rules: [{name: b}]}"), thing(t, "x", "{host: h, rules: [{name: b}, {name: a}]}")}
	s.Apply(three, nil)
	if got := hosts(); got != "w:xz x:xz z:xz" || read != 3 {
		t.Errorf("%s, after %d objects were read", got, read)
	}
	s.Put(thing(t, "w", "{host: h, rules: [{name: a}]}"))
	if got := hosts(); got != "w:wxz x:wxz z:wxz" || read != 6 {
		t.Errorf("%s, after %d objects were read", got, read)
	}
	s.Delete(key("x"))
	if got := hosts(); got != "w:wz z:wz" || read != 8 {
		t.Errorf("%s, after %d objects were read", got, read)
	}
}

// What an earlier run had in force stays the last good version, also where it is not in force until another object comes, but not where it
// does not fit its kind.
func TestSetWasGood(t *testing.T) {
	s := dialect.NewSet(kinds())
	restored := []*dialect.Object{thing(t, "a", "{host: bad}"), thing(t, "b", "7")}
	s.Apply(restored, nil)
	if good := s.Good(every); len(good) != 0 {
		t.Fatal(good)
	}
	s.WasGood(restored)
	if good := s.Good(every); len(good) != 1 || good[0].Name != "a" {
		t.Error(good)
	}
	s.Put(thing(t, "a", "7"))
	if good := s.Good(every); len(good) != 1 || good[0] != restored[0] {
		t.Error(good)
	}
}
