package lastgood

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
)

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What is too much for a piece is left, in an order: first what is in force already, then what its API server knows.
func TestPieceIsBounded(t *testing.T) {
	text := func(name, spec string) *dialect.Object {
		return &dialect.Object{Group: "a.b", Version: "v1", Kind: "A", Namespace: "shop", Name: name, Tree: map[string]any{"kind": "A", "spec": spec}}
	}
	random := rand.NewChaCha8([32]byte{1})
	noise := func() string {
		b := make([]byte, 1500)
		_, _ = random.Read(b)
		return fmt.Sprintf("%x", b)
	}
	var all []Version
	for i := range 40 {
		all = append(all, Version{Object: text(fmt.Sprintf("a%02d", i), noise()), Refused: i%4 > 1, Guards: i%2 > 0})
	}
	kept := func(dialect.Key) bool { return true }
	weights := func(most, plain int) (in, out [4]int) {
		t.Helper()
		data, left, err := encode(all, most, plain)
		if err != nil || len(data) > max(most, 100) {
			t.Fatalf("%d bytes of %d: %v", len(data), most, err)
		}
		objects, err := Decode(data, kept)
		if err != nil || !slices.IsSortedFunc(objects, func(a, b *dialect.Object) int { return a.Key().Compare(b.Key()) }) {
			t.Fatal(err)
		}
		byName := map[string]Version{}
		for _, g := range all {
			byName[g.Name] = g
		}
		for _, o := range objects {
			in[byName[o.Name].weight()]++
		}
		for _, g := range left {
			out[g.weight()]++
		}
		return in, out
	}
	for _, x := range []struct {
		most, plain int
		in          [4]int
	}{
		{mostPiece, mostPlain, [4]int{10, 10, 10, 10}},
		{50_000, mostPlain, [4]int{1, 10, 10, 10}},
		{20_000, mostPlain, [4]int{0, 0, 2, 10}},
		{mostPiece, 50_000, [4]int{0, 0, 5, 10}},
		{10, mostPlain, [4]int{}},
	} {
		in, out := weights(x.most, x.plain)
		if in != x.in {
			t.Errorf("of at most %d bytes, %d to read: %v, want %v", x.most, x.plain, in, x.in)
		}
		for w := range in {
			if in[w]+out[w] != 10 {
				t.Errorf("%v and %v are not all", in, out)
			}
		}
	}
}

// FuzzPiece: whatever is there is read without an end of the program, and what is read is of kinds that are kept.
func FuzzPiece(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add(zipped(f, pieceFormat+"\n"+`{"Group":"a.b","Version":"v1","Kind":"A","Name":"a","Tree":{"kind":"A"}}`+"\n"))
	kept := func(k dialect.Key) bool { return k.Group != "" }
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := Decode(data, kept)
		for _, o := range objects {
			if err != nil || o.Group == "" || o.Name == "" {
				t.Errorf("%+v, %v", o, err)
			}
		}
	})
}

// route is a VirtualService of a service.
const route = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: shop}
spec: {hosts: [%[1]s.shop.svc.cluster.local], http: [{timeout: 3s, route: [{destination: {host: %[1]s.shop.svc.cluster.local}}]}]}
`

// BenchmarkPiece is what one change costs the leader, where a cluster has so many VirtualServices: to write the piece that they are in.
func BenchmarkPiece(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			for i := range n {
				text.WriteString("---" + fmt.Sprintf(route, fmt.Sprint("reviews-", i)))
			}
			var some []Version
			for _, o := range dialecttest.Objects(b, nil, text.String()) {
				if Of(o.Key()) == 0 {
					some = append(some, Version{Object: o})
				}
			}
			b.ResetTimer()
			size := 0
			for range b.N {
				data, left, err := encode(some, mostPiece, mostPlain)
				if size = len(data); err != nil || len(left) > 0 {
					b.Fatal(left, err)
				}
			}
			b.ReportMetric(float64(len(some)), "objects")
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
