package guard

import "testing"

func TestWords(t *testing.T) {
	for _, x := range []struct{ text, want string }{
		{"cd /work/main", `a:1: says "/work/": it is a path of one machine`},
		{"x\n\"/root/.cache\"", "a:2: says"},
		{"DIR=/home/me/weft", "a path of one machine"},
		{"POST /v1/workloads, or https://example.org/work/, or GET /root/x", ""},
		{"GOPROXY=https://proxy.example.org", "that machine's own setting"},
		{"https://proxy.golang.org/x", "that machine's own setting"},
		{"x := 1 // TODO: two", "what is not worth doing"},
		{"ctx := context.TODO()", ""},
	} {
		says(t, x.text, Words("a", x.text), x.want)
	}
}
