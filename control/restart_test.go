package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/files"
)

const twoServices = `
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{port: 9080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings}
spec: {selector: {app: ratings}, ports: [{port: 9080, name: http}]}
`

func synced(put []*dialect.Object, found ...dialect.Located) source.Event {
	return source.Event{Source: "test", Put: put, Findings: found, Synced: true}
}

// lost is a finding of a path that can't be read.
func lost(path string) dialect.Located {
	return dialect.Located{Position: dialect.Position{File: path},
		Finding: mesh.Finding{Ref: decision.Ref{Kind: dialect.FileKind, Name: path}, Text: "broken", Level: mesh.Error}}
}

func in(file string, objects []*dialect.Object) []*dialect.Object {
	for _, o := range objects {
		o.Source.File = file
	}
	return objects
}

func services(v *View) (out []string) {
	for _, s := range v.Mesh.Services.All() {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}

func TestLastGoodOverARestart(t *testing.T) {
	first := in("mesh/shop/a.yaml", parse(t, twoServices))
	for _, x := range []struct {
		name string
		now  source.Event
		want []string
	}{
		{"unchanged", synced(in("mesh/shop/a.yaml", parse(t, twoServices))), []string{"ratings", "reviews"}},
		{"one object is gone", synced(in("mesh/shop/a.yaml", parse(t, twoServices))[:1]), []string{"reviews"}},
		{"the file is gone", synced(nil), nil},
		{"the file is broken", synced(nil, lost("mesh/shop/a.yaml")), []string{"ratings", "reviews"}},
		{"a part of the file is broken", synced(in("mesh/shop/a.yaml", parse(t, twoServices))[:1], lost("mesh/shop/a.yaml")), []string{"ratings", "reviews"}},
		{"another file is broken", synced(nil, lost("mesh/shop/b.yaml")), nil},
		{"one whose name begins the same is broken", synced(nil, lost("mesh/shop/a.yaml.bak")), nil},
		{"its directory can't be read", synced(nil, lost("mesh")), []string{"ratings", "reviews"}},
		{"its directory can't be read, with a slash", synced(nil, lost("mesh/")), []string{"ratings", "reviews"}},
		{"one object is there twice", synced(in("mesh/shop/a.yaml", parse(t, twoServices))[:1],
			dialect.Located{Position: dialect.Position{File: "mesh/shop/a.yaml"}, Finding: mesh.Finding{Ref: decision.Ref{Kind: "Service"}, Level: mesh.Error}}), []string{"reviews"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			o := options(t, state(t), newFeed(synced(first)))
			run(t, o).stop()
			o.Sources, o.Unguarded = []source.Source{newFeed(x.now)}, true
			p := run(t, o)
			if got := services(p.View()); !slices.Equal(got, x.want) {
				t.Errorf("services %v, want %v", got, x.want)
			}
			p.stop()
			o.Sources = []source.Source{newFeed(x.now)}
			if got := services(run(t, o).View()); !slices.Equal(got, x.want) {
				t.Errorf("after another restart %v, want %v", got, x.want)
			}
		})
	}
}

func TestBrokenFileIsMended(t *testing.T) {
	o := options(t, state(t), newFeed(synced(in("a.yaml", parse(t, twoServices)))))
	run(t, o).stop()
	f := newFeed(synced(nil, lost("a.yaml")))
	o.Sources = []source.Source{f}
	p := run(t, o)
	if got := services(p.View()); len(got) != 2 {
		t.Fatalf("services %v: the last good ones stay", got)
	}
	f.emit(t, source.Event{Put: in("b.yaml", parse(t, strings.ReplaceAll(twoServices, "name: r", "name: x")))[:1], Findings: []dialect.Located{lost("a.yaml")}})
	if got := services(p.View()); !slices.Equal(got, []string{"ratings", "reviews", "xeviews"}) {
		t.Fatalf("services %v: another file changed, and this one is as broken as before", got)
	}
	f.emit(t, source.Event{Put: in("a.yaml", parse(t, twoServices))[:1]})
	if got := services(p.View()); !slices.Equal(got, []string{"reviews", "xeviews"}) {
		t.Errorf("services %v: what the mended file does not have any more is gone", got)
	}
}

func TestWithoutSourcesNothingIsLeft(t *testing.T) {
	o := options(t, state(t), newFeed(synced(parse(t, twoServices))))
	run(t, o).stop()
	o.Sources = nil
	if got := services(run(t, o).View()); len(got) > 0 {
		t.Errorf("services %v", got)
	}
}

// A version that is bad at the start of a control plane does not displace the one that an earlier run had in force, numbers and
// all.
func TestBadVersionAtTheStart(t *testing.T) {
	o := options(t, state(t), newFeed(synced(parse(t, twoServices))))
	p := run(t, o)
	was := p.View().Mesh.Services.Get("reviews.default.svc.cluster.local")
	p.stop()
	o.Sources = []source.Source{newFeed(synced(parse(t, strings.ReplaceAll(twoServices, "9080", "many"))))}
	p = run(t, o)
	is := p.View().Mesh.Services.Get("reviews.default.svc.cluster.local")
	if is == nil || is.Ports[0].Number != 9080 || !slices.Equal(is.IPs, was.IPs) {
		t.Errorf("in force is %+v, was %+v", is, was)
	}
	if found := p.View().Findings; len(found) != 2 || found[0].Level != mesh.Error || !strings.Contains(found[0].String(), "spec.ports[0].port") {
		t.Errorf("findings %v", found)
	}
}

func TestBrokenYAMLOnDisk(t *testing.T) {
	conf, o := t.TempDir(), options(t, state(t))
	at := filepath.Join(conf, "a.yaml")
	source := func() source.Source {
		return files.New(files.Options{Paths: []string{conf}, Kinds: all.Kinds(domain)})
	}
	write := func(text string) {
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(twoServices)
	o.Sources = append(o.Sources, source())
	run(t, o).stop()
	write(strings.Replace(twoServices, "metadata: {name: ratings}", "metadata: {name: ratings", 1))
	o.Sources[0] = source()
	p := run(t, o)
	if got := services(p.View()); len(got) != 2 {
		t.Errorf("services %v, want both", got)
	}
	if found := p.View().Findings; len(found) != 1 || !strings.HasPrefix(found[0].String(), at+":") {
		t.Errorf("findings %v, want one that names the line", found)
	}
}

func TestAddressesAndTokensOverARestart(t *testing.T) {
	o := options(t, state(t), newFeed(synced(parse(t, twoServices))))
	p := run(t, o)
	w := p.register("reviews", "v1")
	p.register("details", "v1") // a service that no file declares
	was := p.View().Mesh
	p.stop()
	o.Sources = []source.Source{newFeed(synced(parse(t, twoServices)))}
	p = run(t, o)
	is := p.View().Mesh
	for host, s := range was.Services.All() {
		if now := is.Services.Get(host); now == nil || !slices.Equal(now.IPs, s.IPs) {
			t.Errorf("%s: %+v, was %+v", host, now, s)
		}
	}
	for key, x := range was.Workloads.All() {
		if now := is.Workloads.Get(key); now == nil || now.Addr != x.Addr || now.ID() != x.ID() {
			t.Errorf("%s: %+v, was %+v", key, now, x)
		}
	}
	if err := p.registry.check(w.Key(), w.Token); err != nil {
		t.Errorf("its proxy is not let in: %v", err)
	}
	if _, err := p.Register(Registration{Namespace: "default", Name: "reviews-v1-1", Service: "reviews", Account: "reviews"}, os.Getuid()); err == nil {
		t.Error("another takes its name before it is back")
	}
}

// DESIGN section 3: a restarted control plane removes no endpoint until workloads have registered again, or 30 s.
func TestGrace(t *testing.T) {
	o := options(t, state(t))
	p := run(t, o)
	back, gone := p.register("reviews", "v1"), p.register("reviews", "v2")
	p.stop()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := run(t, o)
		if _, err := p.Register(back.Registration, os.Getuid()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		synctest.Wait()
		for _, w := range []*Workload{back, gone} {
			if p.View().Mesh.Workloads.Get(w.Key()) == nil {
				t.Errorf("%s is gone after %v", w.Key(), time.Since(start))
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p.View().Mesh.Workloads.Get(back.Key()) == nil {
			t.Errorf("%s came back, and is gone", back.Key())
		}
		if p.View().Mesh.Workloads.Get(gone.Key()) != nil {
			t.Errorf("%s did not come back in %v, and is there", gone.Key(), time.Since(start))
		}
		p.stop()
	})
}

// Findings of what an earlier run read are not told: this run has not read it.
func TestChangedHearsOfThisRun(t *testing.T) {
	o := options(t, state(t), newFeed(synced(parse(t, twoServices))))
	p := run(t, o)
	p.register("reviews", "v1")
	p.stop()
	synctest.Test(t, func(t *testing.T) {
		var heard []*View
		f := newFeed(synced(parse(t, twoServices)))
		o.Sources, o.Changed = []source.Source{f}, func(v *View) { heard = append(heard, v) }
		p := run(t, o)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(heard) != 1 || heard[0].Mesh.Services.Len() != 2 {
			t.Errorf("heard %d times of the start", len(heard))
		}
		for range 5 { // changes that come together are told together
			f.emit(t, source.Event{Put: parse(t, virtualService)})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(heard) != 2 || len(heard[1].Objects) != 4 {
			t.Errorf("heard %d times, want twice", len(heard))
		}
		p.stop()
	})
}

func TestSavedObjectsAreTheFilesAlone(t *testing.T) {
	o := options(t, state(t), newFeed(synced(parse(t, twoServices))))
	p := run(t, o)
	at := filepath.Join(o.State, "objects.json")
	before, err := os.Stat(at)
	if err != nil {
		t.Fatal(err)
	}
	w := p.register("details", "v1")
	p.Deregister(w.Key(), w.Token)
	if after, err := os.Stat(at); err != nil || !os.SameFile(before, after) {
		t.Errorf("all objects were written because a workload came and went: %v", err)
	}
	var objects []*dialect.Object
	if err := p.state.load("objects.json", &objects); err != nil || len(objects) != 2 {
		t.Errorf("%d objects, %v", len(objects), err)
	}
	if n := len(p.model.parts); n != 2 {
		t.Errorf("%d parts are kept of 2 objects", n)
	}
}

// Changes that come together are written once, soon after them, and a control plane that ends leaves what it knew last.
func TestObjectsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(synced(parse(t, twoServices)))
		o := options(t, state(t), f)
		p := run(t, o)
		at := filepath.Join(o.State, "objects.json")
		kept := func() (os.FileInfo, int) {
			t.Helper()
			info, err := os.Stat(at)
			var objects []*dialect.Object
			if err := errors.Join(err, p.state.load("objects.json", &objects)); err != nil {
				t.Fatal(err)
			}
			return info, len(objects)
		}
		first, n := kept()
		if n != 2 {
			t.Errorf("%d objects are kept when the sources have been read", n)
		}
		for i := range 3 {
			f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(twoServices, "name: r", fmt.Sprintf("name: x%d", i)))})
		}
		if now, _ := kept(); !os.SameFile(first, now) {
			t.Error("each change is written")
		}
		time.Sleep(2 * keepPause)
		synctest.Wait()
		second, n := kept()
		if n != 8 {
			t.Errorf("%d objects are kept of 8", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if now, _ := kept(); !os.SameFile(second, now) {
			t.Error("what has not changed is written again")
		}
		f.emit(t, source.Event{Delete: []dialect.Key{parse(t, twoServices)[0].Key()}})
		p.stop()
		if _, n := kept(); n != 7 {
			t.Errorf("%d objects are kept at the end, want 7", n)
		}
	})
}

// BenchmarkChange is one object that changes among many, as a source of files tells of it: what it costs the owner, and what it
// costs in all until the state is written.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			for i := range n {
				fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d}\nspec: {selector: {app: s%[1]d}, ports: [{port: 80, name: http}]}\n", i)
			}
			f := newFeed(synced(parse(b, text.String())))
			p := run(b, options(b, state(b), f))
			changed := [][]*dialect.Object{parse(b, strings.ReplaceAll(twoServices, "9080", "80"))[:1], parse(b, twoServices)[:1]}
			b.ResetTimer()
			for i := range b.N {
				if err := p.do(func() { _ = p.take("0", source.Event{Put: changed[i%2]}) }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
