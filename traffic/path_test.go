package traffic

import (
	"strings"
	"testing"
)

func TestNormalPath(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "*": "*", "/": "/", "/a": "/a", "/a/": "/a/", "/.well-known/x": "/.well-known/x", "/a..b/...": "/a..b/...", "/x/.y/z": "/x/.y/z",
		// RFC 3986 section 5.2.4, and its examples
		"/a/b/c/./../../g": "/a/g", "/./admin": "/admin", "/x/../admin": "/admin", "/../../admin": "/admin", "/a/.": "/a/", "/a/..": "/",
		"/..": "/", "/.": "/", "/a//../b": "/a/b", "//a/../../b": "/b",
		// "percent-encoded octets [that] correspond to an unreserved character" (section 6.2.2.2)
		"/%61dmin": "/admin", "/x/%2e%2E/admin": "/admin", "/%2e/admin": "/admin", "/a%7Eb": "/a~b", "/.%2e/admin": "/admin",
		// reserved ones mean something else
		"/a%2fb": "/a%2fb", "/a%3Fb": "/a%3Fb", "/a%20b": "/a%20b", "/..%2fadmin": "/..%2fadmin", "/a%00": "/a%00", "/a;b=1/..;": "/a;b=1/..;",
		// once, and nothing that can be undone again
		"/%252e%252e/admin": "/%252e%252e/admin", "/%%32e": "/%%32e", "/%%32%65": "/%%32e", "/%2%65": "/%2%65", "/%": "/%", "/%4": "/%4", "/%zz": "/%zz",
		// "BASE: [...] converts backslashes to forward slashes"
		`/\admin`: "//admin", `/x\..\admin`: "/admin",
		// "MERGE_SLASHES" is not the default
		"//admin": "//admin",
	} {
		if got := NormalPath(in); got != want {
			t.Errorf("%s: %s, wanted %s", in, got, want)
		}
	}
}

func TestNormalPathsCostNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { NormalPath("/productpage/.well-known/x") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzNormalPath(f *testing.F) {
	for _, s := range []string{"/a/./b", "/a/%2e%2e/b", "/%%32%65%2e/x", `/\..\`, "/../", "//", "/%2%45%2e/.", "/a/..%2f/%41"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p := NormalPath(in)
		if again := NormalPath(p); again != p {
			t.Fatalf("%q is %q, and that is %q", in, p, again)
		}
		if !strings.HasPrefix(in, "/") {
			return
		}
		if p == "" || p[0] != '/' || len(p) > len(in) || dotted(p) {
			t.Fatalf("%q is %q", in, p)
		}
	})
}
