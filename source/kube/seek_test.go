package kube

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source"
)

func secretOf(namespace, name, kind string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": %q, "name": %q}, "type": %q, "data": {"tls.crt": "eA=="}}`, namespace, name, kind)
}

func secretKeys(names ...string) (out []dialect.Key) {
	for _, n := range names {
		namespace, name, _ := strings.Cut(n, "/")
		out = append(out, dialect.Key{Kind: "Secret", Namespace: namespace, Name: name})
	}
	return out
}

// Of Secrets that are not of the type kubernetes.io/tls those alone are read that somebody seeks by name, before it is said that all has been
// read; and no longer than they are sought. One that is made anew with another type is never gone.
func TestSeek(t *testing.T) {
	s := newServer(pods(), secrets())
	s.put(secretOf("a", "cert", "kubernetes.io/tls"))
	for _, name := range []string{"generic", "unsought", "late"} {
		s.put(secretOf("a", name, "Opaque"))
	}
	s.put(secretOf("b", "generic", "Opaque"))
	synctest.Test(t, func(t *testing.T) {
		l := &listener{source: s.cluster(t).Source(kinds)}
		var once sync.Once
		l.run(t, func(source.Event) { once.Do(func() { l.source.Seek(secretKeys("a/cert", "a/generic", "a/absent")) }) })
		defer l.stop()
		got := l.heard()
		last := strings.HasSuffix(got[len(got)-1], "synced")
		got = strings.Split(strings.Join(got, ", "), ", ")
		slices.Sort(got) // which of the two is found first, the one that is there or the one that is not, is not said
		if want := "+v1 Secret a/cert, +v1 Secret a/generic, -Secret a/absent, synced"; strings.Join(got, ", ") != want || !last {
			t.Errorf("heard %s, want %s", got, want)
		}
		l.source.Seek(secretKeys("a/cert", "a/absent", "a/generic")) // who seeks anew hears it again
		l.expect(t, "-Secret a/absent")
		s.put(secretOf("a", "absent", "Opaque"))
		l.expect(t, "+v1 Secret a/absent")
		l.source.Seek(secretKeys("a/cert", "a/late", "a/generic"))
		l.expect(t, "-Secret a/absent", "+v1 Secret a/late")
		s.delete("secrets", "a/generic")
		l.expect(t, "-Secret a/generic, -Secret a/generic") // it is gone, and nobody else has it
		s.put(secretOf("a", "generic", "kubernetes.io/tls"))
		l.expect(t, "+v1 Secret a/generic")
		s.delete("secrets", "a/cert")
		l.expect(t, "-Secret a/cert", "-Secret a/cert") // it is gone, and then it has been looked for among others
		s.put(secretOf("a", "cert", "Opaque"))
		l.expect(t, "+v1 Secret a/cert")
		l.source.Seek(nil)
		l.expect(t, "-Secret a/cert, -Secret a/late")
		s.put(secretOf("a", "late", "Opaque"))
		l.expect(t)
	})
}

// Names that no object has, of which some would be field selectors that the API server refuses, are asked for nowhere, and keep nobody from hearing
// that all has been read.
func TestSeekWhatCannotBe(t *testing.T) {
	s := newServer(secrets())
	s.put(secretOf("a", "generic", "Opaque"))
	synctest.Test(t, func(t *testing.T) {
		l := &listener{source: s.cluster(t).Source(kinds)}
		var once sync.Once
		l.run(t, func(source.Event) {
			once.Do(func() {
				l.source.Seek(secretKeys("a/a,b", "a/a=b", `a/a\\`, "a/generic,type=Opaque", "a/A", "a/", "/generic", "A/generic", "a/generic", "a/"+strings.Repeat("a", 254)))
			})
		})
		defer l.stop()
		if got, want := strings.Join(l.heard(), ", "), ", +v1 Secret a/generic, synced"; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	})
}

// What may be sought in a namespace is bounded: each is a watch.
func TestSeekMany(t *testing.T) {
	s := newServer(secrets())
	var names []string
	for i := range mostSought + 20 {
		names = append(names, fmt.Sprintf("a/s%03d", i))
		s.put(secretOf("a", fmt.Sprintf("s%03d", i), "Opaque"))
	}
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		l.expect(t, "", "synced")
		l.source.Seek(secretKeys(append(names, "b/other")...))
		got := l.heard()
		if text := strings.Join(got, ", "); strings.Count(text, "+") != mostSought || strings.Count(text, "-") != 1 || !strings.Contains(text, "-Secret b/other") {
			t.Errorf("%d are read: %s", len(got), text)
		}
	})
}

// What may be sought in all is bounded too, and whose namespace names little does not go without for others.
func TestSeekManyInAll(t *testing.T) {
	s := newServer(secrets())
	var names []string
	for i := range mostInAll + mostSought {
		names = append(names, fmt.Sprintf("n%02d/s%02d", i/mostSought, i%mostSought))
	}
	names = append(names, "z/one")
	for _, n := range names {
		namespace, name, _ := strings.Cut(n, "/")
		s.put(secretOf(namespace, name, "Opaque"))
	}
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		l.expect(t, "", "synced")
		l.source.Seek(secretKeys(names...))
		got := l.heard()
		if text := strings.Join(got, ", "); len(got) != mostInAll || !strings.Contains(text, "z/one") || !strings.Contains(text, "n10/s00") {
			t.Errorf("%d are read, of those that one namespace alone names: %v", len(got), strings.Contains(text, "z/one"))
		}
	})
}
