package istio_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

// corpus is configuration that other people wrote; it is not part of the repository.
const corpus = "../../../shared/corpus"

// read returns the objects of the corpus's files, all below a folder or one alone.
func read(t *testing.T, paths ...string) (objects []*dialect.Object) {
	t.Helper()
	if _, err := os.Stat(corpus); err != nil {
		t.Skip("no corpus here")
	}
	for _, p := range paths {
		err := filepath.WalkDir(filepath.Join(corpus, p), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".yaml") {
				return err
			}
			text, err := os.ReadFile(name)
			objects = append(objects, dialecttest.Objects(t, kinds, string(text))...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return objects
}

func ours(o *dialect.Object) bool { return strings.HasSuffix(o.Group, "istio.io") }

// TestCorpus: nothing is dropped in silence, and nothing that Istio takes is refused.
func TestCorpus(t *testing.T) {
	objects, n := read(t, "istio", "seeds"), 0
	for _, o := range objects {
		if !ours(o) {
			continue
		}
		n++
		part, found := dialect.Read(kinds, o, dialecttest.View(objects))
		if part.Empty() && len(found) == 0 {
			t.Errorf("%s %s: nothing is made of it, and nothing said", o.Kind, o.Name)
		}
		for i := range found {
			if found[i].Level == mesh.Error {
				t.Error(found[i].String())
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d objects were read", n)
	}
}

// TestBookinfo: with the shop's services and its subsets, each file of routes is taken whole.
func TestBookinfo(t *testing.T) {
	around := read(t, "istio/bookinfo/platform/kube/bookinfo.yaml", "istio/bookinfo/networking/destination-rule-all.yaml")
	files, err := filepath.Glob(filepath.Join(corpus, "istio/bookinfo/networking/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := map[string]bool{"bookinfo-gateway.yaml": true, "certmanager-gateway.yaml": true, "egress-rule-google-apis.yaml": true}
	for _, file := range files {
		name := filepath.Base(file)
		if elsewhere[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			objects := read(t, filepath.Join("istio/bookinfo/networking", name))
			for _, o := range objects {
				part, found := dialect.Read(kinds, o, dialecttest.View(append(objects, around...)))
				for i := range found { // one file has a rule that is never reached
					if found[i].Level != mesh.Info {
						t.Error(found[i].String())
					}
				}
				if len(part.Routes)+len(part.Backends) != 1 {
					t.Errorf("%s %s became %+v", o.Kind, o.Name, part)
				}
			}
		})
	}
}

// TestBookinfoDoesWhatItsFilesSay takes the rules that the shop's files are named after.
func TestBookinfoDoesWhatItsFilesSay(t *testing.T) {
	for _, c := range []struct {
		file, host, call string
		headers          []string
		want             string
	}{
		{"virtual-service-all-v1", "reviews", "GET /", nil, "v1:1"},
		{"virtual-service-reviews-test-v2", "reviews", "GET /", []string{"end-user", "jason"}, "v2:1"},
		{"virtual-service-reviews-test-v2", "reviews", "GET /", nil, "v1:1"},
		{"virtual-service-reviews-jason-v2-v3", "reviews", "GET /", []string{"end-user", "else"}, "v3:1"},
		{"virtual-service-reviews-90-10", "reviews", "GET /", nil, "v1:90 v2:10"},
		{"virtual-service-reviews-80-20", "reviews", "GET /", nil, "v1:80 v2:20"},
		{"virtual-service-reviews-50-v3", "reviews", "GET /", nil, "v1:50 v3:50"},
		{"virtual-service-ratings-test-delay", "ratings", "GET /", []string{"end-user", "jason"}, "v1:1 delay 7s"},
		{"virtual-service-ratings-test-abort", "ratings", "GET /", []string{"end-user", "jason"}, "v1:1 abort 500"},
		{"virtual-service-ratings-mysql-vm", "ratings", "GET /", nil, "v2-mysql-vm:1"},
		{"fault-injection-details-v1", "details", "GET /", nil, "v1:1 abort 555"},
	} {
		t.Run(c.file+" "+strings.Join(c.headers, "="), func(t *testing.T) {
			objects := read(t, filepath.Join("istio/bookinfo/networking", c.file+".yaml"))
			for _, o := range objects {
				part, _ := dialect.Read(kinds, o, dialecttest.View(objects))
				if len(part.Routes) == 1 && part.Routes[0].Host == c.host+".default.svc.cluster.local" {
					if got := does(t, part.Routes[0].Rules, c.call, c.headers); got != c.want {
						t.Errorf("%s, wanted %s", got, c.want)
					}
					return
				}
			}
			t.Error("no route to " + c.host)
		})
	}
}
