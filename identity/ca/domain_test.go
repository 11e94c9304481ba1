package ca

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
)

func TestOneDomain(t *testing.T) {
	for _, x := range []struct {
		all        []Said
		want, says string
	}{
		{nil, "cluster.local", ""},
		{[]Said{{"the Secret", ""}, {"the chart", ""}}, "cluster.local", ""},
		{[]Said{{"the Secret", "shop.example"}, {"the chart", ""}}, "shop.example", ""},
		{[]Said{{"the Secret", ""}, {"the chart", "shop.example"}}, "shop.example", ""},
		{[]Said{{"the Secret", "shop.example"}, {"the chart", "shop.example"}}, "shop.example", ""},
		{[]Said{{"the Secret", "shop.example"}, {"the note", ""}, {"the chart", "cluster.local"}}, "",
			`the Secret says trust domain "shop.example", and the chart says "cluster.local"`},
		{[]Said{{"the Secret", ""}, {"the note", "Shop"}}, "", "the note: "},
	} {
		got, err := OneDomain("cluster.local", x.all...)
		if got != x.want || (err != nil) != (x.says != "") || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("%v: %q, %v, want %q, %q", x.all, got, err, x.want, x.says)
		}
	}
}

// An authority that is made says of which trust domain it is, in its state and in its certificate.
func TestDomainOfAuthority(t *testing.T) {
	m := &memory{}
	c, err := Open(m, Config{TrustDomain: "shop.example"}, nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	if got := DomainOfState(m.data); got != "shop.example" {
		t.Errorf("of the state: %q", got)
	}
	_, chain := pems(t, c.Roots().Active)
	if got := DomainOfChain(chain); got != "shop.example" {
		t.Errorf("of the certificate: %q", got)
	}
	for _, none := range []string{"", "{}", "{", "[]"} {
		if got := DomainOfState([]byte(none)); got != "" {
			t.Errorf("%s: %q", none, got)
		}
	}
	company := authority(t, "company", nil, func(c *x509.Certificate) {
		c.URIs = []*url.URL{uri(t, "https://company"), uri(t, "spiffe://company.example")}
	})
	for want, root := range map[string]*Root{
		"":                authority(t, "plain", nil, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "https://company")} }),
		"company.example": authority(t, "below", company, nil),
	} {
		if _, chain := pems(t, root); DomainOfChain(chain) != want {
			t.Errorf("%q, want %q", DomainOfChain(chain), want)
		}
	}
	_, chain = pems(t, company)
	if got := DomainOfChain(append([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), chain...)); got != "company.example" {
		t.Errorf("behind what cannot be read: %q", got)
	}
}
