package inject

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// Files of manifests, before and after, with what is said of each object that has pods; or the error.
func TestStream(t *testing.T) {
	names, err := filepath.Glob("testdata/stream/*.txtar")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil || len(a.Files) != 3 {
			t.Fatal(name, err)
		}
		o := options(t, "cni: true\nresources: {limits: {memory: 64Mi}}")
		o.Requested = true
		out, items, err := Stream("in.yaml", a.Files[0].Data, "default", o)
		said := ""
		for _, i := range items {
			word := "not injected"
			if i.Inject {
				word = "injected"
			}
			said += i.Position.String() + ": " + i.Object + ": " + word + ": " + i.Because + "\n"
			for _, f := range i.Found {
				said += "  " + f.String() + "\n"
			}
		}
		if err != nil {
			said += "error: " + err.Error() + "\n"
		}
		for i, got := range map[int]string{1: said, 2: string(out)} {
			if f := &a.Files[i]; *update {
				f.Data = []byte(got)
			} else if string(f.Data) != got {
				t.Errorf("%s: %s is\n%s\nand not\n%s", name, f.Name, got, f.Data)
			}
		}
		if *update {
			if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What has its proxies already comes out as it went in, byte for byte.
func TestStreamAgain(t *testing.T) {
	names, err := filepath.Glob("testdata/stream/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		o := options(t, "")
		o.Requested = true
		once, _, err := Stream("in.yaml", a.Files[0].Data, "default", o)
		if err != nil {
			continue
		}
		again, _, err := Stream("in.yaml", once, "default", o)
		if err != nil || string(again) != string(once) {
			t.Errorf("%s: %v\n%s\nbecomes\n%s", name, err, once, again)
		}
	}
}

func FuzzStream(f *testing.F) {
	names, err := filepath.Glob("testdata/stream/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.Files[0].Data)
	}
	o := options(f, "")
	o.Requested = true
	f.Fuzz(func(t *testing.T, in []byte) {
		out, items, err := Stream("in.yaml", in, "default", o)
		if err == nil && len(items) == 0 && string(out) != string(in) {
			t.Errorf("nothing has pods, and it is changed: %q", out)
		}
		if err != nil && (out != nil || !strings.Contains(err.Error(), "in.yaml")) {
			t.Errorf("%v: %q", err, out)
		}
	})
}

// A proxy is told the trust domain that is known where it is injected, and else by the control plane: an empty word would be one too.
func TestTrustDomain(t *testing.T) {
	for _, domain := range []string{"", "shop.example"} {
		o := options(t, "")
		o.TrustDomain = domain
		var got []string
		for _, e := range Container(&o).Env {
			if e.Name == "WEFT_TRUST_DOMAIN" {
				got = append(got, e.Value)
			}
		}
		if len(got) > 1 || strings.Join(got, "") != domain || domain == "" && got != nil {
			t.Errorf("%q: %q", domain, got)
		}
	}
}
