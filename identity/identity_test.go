package identity

import (
	"errors"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	id, err := Parse("spiffe://cluster.local/ns/default/sa/bookinfo-reviews")
	if err != nil {
		t.Fatal(err)
	}
	if want := Of("cluster.local", "default", "bookinfo-reviews"); id != want {
		t.Errorf("Parse = %#v, want %#v", id, want)
	}
	if got := id.Principal(); got != "cluster.local/ns/default/sa/bookinfo-reviews" {
		t.Errorf("Principal = %q", got)
	}
	if got := id.Account(); got != "default/bookinfo-reviews" || (ID{}).Account() != "" {
		t.Errorf("Account = %q", got)
	}
}

func TestParseKeepsUpperCaseOfPath(t *testing.T) {
	// SPIFFE ID 2.2: letters of a path segment may be of either case, and case is significant.
	a, err := Parse("spiffe://td/ns/A/sa/b_1.c-d")
	if err != nil {
		t.Fatal(err)
	}
	if a == Of("td", "a", "b_1.c-d") {
		t.Error("two accounts whose names differ in case are equal")
	}
}

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("a", maxDomainLen)
	if _, err := Parse("spiffe://" + long + "/ns/a/sa/b"); err != nil {
		t.Errorf("SPIFFE ID 2.3: a trust domain may have 255 bytes: %v", err)
	}
	head := "spiffe://td/ns/a/sa/"
	if _, err := Parse(head + strings.Repeat("a", maxURILen-len(head))); err != nil {
		t.Errorf("SPIFFE ID 2.3: URIs of up to 2048 bytes must be supported: %v", err)
	}
	for _, c := range []struct{ why, uri string }{
		{"nothing", ""},
		{"2: must use the spiffe scheme", "https://td/ns/a/sa/b"},
		{"2: scheme in lower case", "SPIFFE://td/ns/a/sa/b"},
		{"2: a trust domain that is not empty", "spiffe:///ns/a/sa/b"},
		{"2: no query", "spiffe://td/ns/a/sa/b?x=1"},
		{"2: no empty query", "spiffe://td/ns/a/sa/b?"},
		{"2: no fragment", "spiffe://td/ns/a/sa/b#f"},
		{"2: no empty fragment", "spiffe://td/ns/a/sa/b#"},
		{"2.1: no userinfo", "spiffe://root@td/ns/a/sa/b"},
		{"2.1: no port", "spiffe://td:8443/ns/a/sa/b"},
		{"2.1: no colon", "spiffe://td:/ns/a/sa/b"},
		{"2.1: lower case", "spiffe://Cluster.Local/ns/a/sa/b"},
		{"2.1: no percent-encoding", "spiffe://t%64/ns/a/sa/b"},
		{"2.1: ASCII", "spiffe://t\u00e4/ns/a/sa/b"},
		{"2.2: no percent-encoding", "spiffe://td/ns/a%2fb/sa/b"},
		{"2.2: no empty segment", "spiffe://td/ns//sa/b"},
		{"2.2: no empty last segment", "spiffe://td/ns/a/sa/"},
		{"2.2: no trailing slash", "spiffe://td/ns/a/sa/b/"},
		{"2.2: not relative", "spiffe://td/ns/./sa/b"},
		{"2.2: not relative", "spiffe://td/ns/a/sa/.."},
		{"2.2: no NUL", "spiffe://td/ns/a/sa/b\x00"},
		{"2.2: no space", "spiffe://td/ns/a b/sa/b"},
		{"2.2: no wildcard", "spiffe://td/ns/*/sa/b"},
		{"2.3: 255 bytes of trust domain", "spiffe://" + long + "a/ns/a/sa/b"},
		{"2.3: 2048 bytes in all", head + strings.Repeat("a", maxURILen-len(head)+1)},
		{"a trust domain alone", "spiffe://td"},
		{"another shape", "spiffe://td/payments/web"},
		{"too deep", "spiffe://td/ns/a/sa/b/c"},
		{"a namespace of two segments", "spiffe://td/ns/a/b/sa/c"},
		{"a second account", "spiffe://td/ns/a/sa/b/sa/c"},
	} {
		if id, err := Parse(c.uri); !errors.Is(err, ErrMalformed) || !id.IsZero() {
			t.Errorf("%s: Parse(%.80q) = %v, %v", c.why, c.uri, id, err)
		}
	}
}

func TestValidateCatchesInjection(t *testing.T) {
	if err := Of("td", "a", "b").Validate(); err != nil {
		t.Error(err)
	}
	for _, id := range []ID{{}, Of("", "", ""), Of("td/ns/kube-system", "a", "b"), Of("td", "a/sa/admin", "b"), Of("td", "a", "b/sa/c"),
		{TrustDomain: "other", Namespace: "a", ServiceAccount: "b", uri: "spiffe://td/ns/a/sa/b"}} {
		if err := id.Validate(); !errors.Is(err, ErrMalformed) {
			t.Errorf("Validate(%#v) = %v", id, err)
		}
	}
}

func TestBinary(t *testing.T) {
	for _, id := range []ID{{}, Of("td", "a", "b")} {
		b, err := id.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		got := Of("left", "over", "value")
		if err := got.UnmarshalBinary(b); err != nil || got != id {
			t.Errorf("%q came back as %q, %v", id, got, err)
		}
	}
	got := Of("left", "over", "value")
	if err := got.UnmarshalBinary([]byte("spiffe://TD/ns/a/sa/b")); err == nil || !got.IsZero() {
		t.Errorf("bad bytes left %q, %v", got, err)
	}
}

func TestValidWorkload(t *testing.T) {
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"default/reviews-v1-abc", true},
		{"kube-system/reviews-v1-abc", false}, // outside of what the account is vouched for
		{"reviews-v1-abc", false},
		{"default/", false},
		{"default/a/b", false},
		{"default/a\nb", false},
		{"/a", false},
		{"", false},
		{"default/" + strings.Repeat("a", maxWorkload), false},
	} {
		if err := ValidWorkload(c.name, "default"); (err == nil) != c.ok {
			t.Errorf("ValidWorkload(%.40q) = %v", c.name, err)
		}
	}
}

func TestRootID(t *testing.T) {
	a, b := RootOf([]byte("name"), []byte("key")), RootOf([]byte("name"), []byte("other"))
	if a == b || a.IsZero() || a != RootOf([]byte("name"), []byte("key")) {
		t.Errorf("%v %v", a, b)
	}
	if len(a.String()) != 16 || (RootID{}).String() != "none" {
		t.Errorf("%q %q", a, RootID{})
	}
}

// The rule of the house: whoever names an ID must not link crypto/x509 and net for it.
func TestImportsStayLight(t *testing.T) {
	allowed := map[string]bool{`"errors"`: true, `"fmt"`: true, `"strings"`: true, `"crypto/sha256"`: true, `"encoding/hex"`: true}
	files, _ := filepath.Glob("*.go")
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if !allowed[i.Path.Value] {
				t.Errorf("%s imports %s", f, i.Path.Value)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"spiffe://cluster.local/ns/default/sa/reviews", "spiffe://td/ns/a/sa/b?x", "spiffe://TD:1/ns/../sa/%20", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s)
		if err != nil {
			return
		}
		if id.String() != s || id != Of(id.TrustDomain, id.Namespace, id.ServiceAccount) || len(s) > maxURILen {
			t.Errorf("%q parsed to %#v", s, id)
		}
		if strings.ContainsAny(s[len(scheme):], "%?#@:\\ ") {
			t.Errorf("%q was let through", s)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("spiffe://cluster.local/ns/default/sa/bookinfo-reviews"); err != nil {
			b.Fatal(err)
		}
	}
}
