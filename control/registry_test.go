package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// book is a registry in which every address is free but those named.
func book(rules []Rule, busy ...string) *registry {
	return &registry{byKey: map[string]*Workload{}, rules: rules, trustDomain: domain, flaws: newTrial(domain).flaws,
		free: func(a netip.AddrPort) bool { return !slices.Contains(busy, a.Addr().String()) }}
}

var anything = []Rule{{0, "*", "*"}}

func reviews(f ...func(*Registration)) Registration {
	r := Registration{Namespace: "default", Service: "reviews", Version: "v1", Account: "bookinfo-reviews", Ports: []Port{{Number: 9080, Protocol: "http"}}}
	for _, f := range f {
		f(&r)
	}
	return r
}

func TestWhoMayClaimWhat(t *testing.T) {
	rules := []Rule{{0, "*", "*"}, {1001, "shop", "*"}, {1002, "default", "batch"}, {1002, "*", "shared"}}
	for _, x := range []struct {
		uid                int
		namespace, account string
		ok                 bool
	}{
		{0, "default", "reviews", true},
		{0, "shop", "anything", true},
		{1001, "shop", "reviews", true},
		{1001, "default", "reviews", false},
		{1001, "shop2", "reviews", false},
		{1002, "default", "batch", true},
		{1002, "default", "batch2", false},
		{1002, "other", "shared", true},
		{1003, "default", "batch", false},
		{-1, "default", "batch", false},
	} {
		r := Registration{Namespace: x.namespace, Account: x.account, Service: "s"}
		_, err := book(rules).add(r, x.uid, noon)
		if ok := err == nil; ok != x.ok {
			t.Errorf("user %d claims %s/%s: %v, want allowed %v", x.uid, x.namespace, x.account, err, x.ok)
		}
		if err != nil && (!errors.Is(err, errForbidden) || !strings.Contains(err.Error(), "--allow")) {
			t.Errorf("%v does not say that it is forbidden, and what to do", err)
		}
	}
	if _, err := book(nil).add(reviews(), 0, noon); err == nil {
		t.Error("without a rule somebody may claim something")
	}
}

func TestNamesOfInstances(t *testing.T) {
	g := book(anything)
	for _, x := range []struct {
		r    Registration
		want string
	}{
		{reviews(), "reviews-v1-1"},
		{reviews(), "reviews-v1-2"},
		{reviews(func(r *Registration) { r.Version = "" }), "reviews-1"},
		{reviews(func(r *Registration) { r.Namespace = "shop" }), "reviews-v1-1"},
		{reviews(func(r *Registration) { r.Service, r.Version, r.Ports = "", "", nil }), "bookinfo-reviews-1"},
		{reviews(func(r *Registration) { r.Name = "mine" }), "mine"},
	} {
		w, err := g.add(x.r, 0, noon)
		if err != nil || w.Name != x.want {
			t.Errorf("%+v: %v, want the name %s", w, err, x.want)
		}
	}
	_, err := g.add(reviews(func(r *Registration) { r.Name = "mine" }), 0, noon)
	if !errors.Is(err, errTaken) || !strings.Contains(err.Error(), "--name") {
		t.Errorf("%v, want that the name is taken, and what to do", err)
	}
	if !g.remove("default/reviews-v1-1", g.get("default/reviews-v1-1").Token) {
		t.Error("a workload can't be removed")
	}
	if w, err := g.add(reviews(), 0, noon); err != nil || w.Name != "reviews-v1-1" {
		t.Errorf("%+v, %v: the name is free again", w, err)
	}
}

func TestRegistrationsThatMakeNoSense(t *testing.T) {
	for _, x := range []struct {
		change func(*Registration)
		says   string
	}{
		{func(r *Registration) { r.Service = "Not_A_Name" }, "Not_A_Name"},
		{func(r *Registration) { r.Name = "under_score" }, "under_score"},
		{func(r *Registration) { r.Namespace = "a/b" }, "a/b"},
		{func(r *Registration) { r.Account = "" }, "/sa/"},
		{func(r *Registration) { r.Account = "a b" }, "a b"},
		{func(r *Registration) { r.Labels = map[string]string{"tier": "not a label"} }, "tier"},
		{func(r *Registration) { r.Version = "v 1" }, "v 1"},
		{func(r *Registration) { r.Ports = []Port{{Number: 80}, {Number: 80}} }, "80"},
		{func(r *Registration) { r.Ports = []Port{{}} }, "port 0"},
	} {
		g := book(anything)
		_, err := g.add(reviews(x.change), 0, noon)
		if !errors.Is(err, errRegistration) || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(x.says)) {
			t.Errorf("%v, want a refusal that says %q", err, x.says)
		}
		if len(g.all()) > 0 {
			t.Errorf("it is there: %+v", g.all())
		}
	}
}

func TestAddresses(t *testing.T) {
	g := book(anything, "127.64.0.2")
	var got []string
	for range 3 {
		w, err := g.add(reviews(), 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, w.Address.String())
	}
	if want := []string{"127.64.0.1", "127.64.0.3", "127.64.0.4"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v: 127.64.0.0 is no host's, 127.64.0.2 is another program's", got, want)
	}
	w := g.all()[0]
	g.remove(w.Key(), w.Token)
	if next, err := g.add(reviews(), 0, noon); err != nil || next.Address.String() != "127.64.0.5" {
		t.Errorf("%v, %v: an address that was just given up is not given again while callers may hold it", next.Address, err)
	}
}

func TestAddressesRunOver(t *testing.T) {
	g := book(anything)
	g.cursor = addresses - 1
	seen := map[netip.Addr]bool{}
	for range 300 { // over the end, and over a last byte of 0
		a, err := g.address()
		if err != nil || !loopback.Contains(a) || seen[a] || a.As4()[3] == 0 {
			t.Fatalf("%v, %v", a, err)
		}
		seen[a] = true
	}
	full := book(anything)
	full.free = func(netip.AddrPort) bool { return false }
	if _, err := full.add(reviews(), 0, noon); err == nil || !strings.Contains(err.Error(), "127.64.0.0/10") {
		t.Errorf("%v, want that no address is free", err)
	}
}

func TestTokens(t *testing.T) {
	g := book(anything)
	a, err := g.add(reviews(), 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := g.add(reviews(), 0, noon)
	if a.Token == b.Token || len(a.Token) < 26 { // rand.Text: 128 bits at least
		t.Errorf("tokens %q and %q", a.Token, b.Token)
	}
	for _, x := range []struct {
		key, token string
		ok         bool
	}{
		{a.Key(), a.Token, true},
		{a.Key(), b.Token, false},
		{a.Key(), "", false},
		{a.Key(), a.Token + "x", false},
		{a.Key(), a.Token[:25], false},
		{"default/nobody", "", false},
		{"default/nobody", a.Token, false},
	} {
		if err := g.check(x.key, x.token); (err == nil) != x.ok {
			t.Errorf("%s with %q: %v", x.key, x.token, err)
		}
	}
	if g.remove(a.Key(), b.Token) || g.get(a.Key()) == nil {
		t.Error("it was removed with another's token")
	}
}

func TestRegistrationGoesOn(t *testing.T) {
	g := book(anything)
	first, err := g.add(reviews(), 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	first.confirmed = false // as read from disk
	back := first.Registration
	back.Draining = true
	again, err := g.add(back, 0, noon.Add(1))
	if err != nil || again.Key() != first.Key() || again.Token != first.Token || again.Address != first.Address || !again.Since.Equal(noon) {
		t.Errorf("%+v, %v; want what it was given before, %+v", again, err, first)
	}
	if !again.confirmed || !again.Draining || len(g.unconfirmed()) != 0 {
		t.Errorf("%+v: it is here, and still draining", again)
	}
	back.Draining = false
	if again, err := g.add(back, 0, noon); err != nil || !again.Draining {
		t.Errorf("%+v, %v: draining is never taken back", again, err)
	}
	wrong := back
	wrong.Token = strings.Repeat("A", 26)
	if _, err := g.add(wrong, 0, noon); !errors.Is(err, errTaken) {
		t.Errorf("with another token: %v", err)
	}
}

// A control plane that has lost its state, or given a silent workload up, takes back a proxy that runs under what it was given.
func TestRegistrationIsAdopted(t *testing.T) {
	given := reviews(func(r *Registration) {
		r.Name, r.Token, r.Address = "reviews-v1-7", strings.Repeat("T", 26), addr("127.64.9.9")
	})
	g := book(anything, "127.64.9.9") // the proxy listens there itself
	w, err := g.add(given, 0, noon)
	if err != nil || w.Token != given.Token || w.Address != given.Address {
		t.Fatalf("%+v, %v", w, err)
	}
	for what, change := range map[string]func(*Registration){
		"no name":                   func(r *Registration) { r.Name = "" },
		"a token that can be tried": func(r *Registration) { r.Token = "short" },
		"an address outside":        func(r *Registration) { r.Address = addr("10.0.0.1") },
		"no address":                func(r *Registration) { r.Address = netip.Addr{} },
		"another's address":         func(r *Registration) { r.Address = addr("127.64.9.9") },
	} {
		r := given
		r.Name, r.Address = "reviews-v1-8", addr("127.64.9.10")
		change(&r)
		if w, err := g.add(r, 0, noon); err == nil {
			t.Errorf("%s: %+v", what, w)
		}
	}
	if _, err := g.add(given, 1001, noon); !errors.Is(err, errForbidden) {
		t.Errorf("another user with its token: %v", err)
	}
}

func TestRegistryIsSorted(t *testing.T) {
	g := book(anything)
	for n := range 20 {
		if _, err := g.add(reviews(func(r *Registration) { r.Name = fmt.Sprintf("r%02d", (n*7)%20) }), 0, noon); err != nil {
			t.Fatal(err)
		}
	}
	all := g.all()
	if !slices.IsSortedFunc(all, func(a, b *Workload) int { return strings.Compare(a.Key(), b.Key()) }) || len(all) != 20 {
		t.Errorf("%d workloads, unsorted", len(all))
	}
}
