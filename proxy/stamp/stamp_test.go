package stamp

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

func TestIdentify(t *testing.T) {
	var h traffic.Header
	Identify(&h, rand.Uint64)
	first, _ := h.Get("x-request-id")
	Identify(&h, rand.Uint64)
	if second, _ := h.Get("x-request-id"); second != first || len(first) != 36 || first[14] != '4' || first[8] != '-' {
		t.Errorf("%q, then %q", first, second)
	}
}

func TestDates(t *testing.T) {
	var d Dates
	at := time.Unix(1_800_000_000, 0)
	now := func() time.Time { return at }
	date := func(status int, given ...string) string {
		r := traffic.Response{Status: status}
		for _, v := range given {
			r.Header.Receive("date", v)
		}
		d.Add(&r, now)
		v, _ := r.Header.Joined("date")
		return v
	}
	if got := date(200); got != "Fri, 15 Jan 2027 08:00:00 GMT" {
		t.Error(got)
	}
	if got := date(200, "yesterday"); got != "yesterday" {
		t.Error(got)
	}
	if got := date(101); got != "" {
		t.Error(got)
	}
	at = at.Add(time.Second)
	if got := date(404); got != "Fri, 15 Jan 2027 08:00:01 GMT" {
		t.Error(got)
	}
}

func TestServiceNameOfAPeer(t *testing.T) {
	for in, want := range map[string]string{"a.b-c.svc": "a.b-c.svc", "": "", "A": "", "a b": "", "a\"": "", strings.Repeat("a", 300): ""} {
		if got := Host(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
