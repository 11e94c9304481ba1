package kube

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// reviewed is a status of TokenReview for a pod's token, with changes.
func reviewed(change func(status, user map[string]any)) map[string]any {
	user := map[string]any{"username": "system:serviceaccount:shop:reviews", "uid": "1",
		"extra": map[string]any{podName: []any{"reviews-1"}, podUID: []any{"42"}}}
	status := map[string]any{"authenticated": true, "audiences": []any{"weft"}, "user": user}
	if change != nil {
		change(status, user)
	}
	return status
}

func TestAttest(t *testing.T) {
	for _, c := range []struct {
		name  string
		says  map[string]any
		wrong string
	}{
		{"good", reviewed(nil), ""},
		{"not accepted", map[string]any{"authenticated": false, "error": "token expired"}, "the API server does not accept it: token expired"},
		{"not accepted, without a reason", map[string]any{}, `not for the audience "weft"`},
		{"another audience", reviewed(func(s, _ map[string]any) { s["audiences"] = []any{"api"} }), "project it with that audience"},
		{"no audience", reviewed(func(s, _ map[string]any) { delete(s, "audiences") }), "project it with that audience"},
		{"a user", reviewed(func(_, u map[string]any) { u["username"] = "alice" }), `"alice", and not of a service account`},
		{"no account", reviewed(func(_, u map[string]any) { u["username"] = "system:serviceaccount:shop:" }), "not of a service account"},
		{"a path", reviewed(func(_, u map[string]any) { u["username"] = "system:serviceaccount:shop:a/b" }), "not of a service account"},
		{"a part more", reviewed(func(_, u map[string]any) { u["username"] = "system:serviceaccount:shop:a:b" }), "not of a service account"},
		{"no pod", reviewed(func(_, u map[string]any) { delete(u, "extra") }), "bound to no pod"},
		{"two pods", reviewed(func(_, u map[string]any) { u["extra"].(map[string]any)[podName] = []any{"a", "b"} }), "bound to no pod"},
		{"no pod's name", reviewed(func(_, u map[string]any) { u["extra"].(map[string]any)[podName] = []any{"../b"} }), "the pod's name is none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer()
			s.review = func(o map[string]any) {
				spec := o["spec"].(map[string]any)
				if spec["token"] != "secret-token" || spec["audiences"].([]any)[0] != "weft" {
					t.Errorf("asked %v", spec)
				}
				o["status"] = c.says
			}
			p, err := s.cluster(t).Attest(t.Context(), "secret-token", "weft")
			if c.wrong == "" {
				if want := (Proof{"shop", "reviews", "reviews-1", "42"}); err != nil || p != want {
					t.Errorf("%+v, %v", p, err)
				}
				return
			}
			if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "secret-token") || p != (Proof{}) {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// Whoever can't ask has no answer: that is not the token's fault.
func TestAttestWithoutServer(t *testing.T) {
	s := newServer()
	s.fail = func(string, string, *http.Request) error { return errRefused }
	_, err := s.cluster(t).Attest(t.Context(), "secret-token", "weft")
	if err == nil || errors.Is(err, ErrToken) || strings.Contains(err.Error(), "secret-token") {
		t.Error(err)
	}
	s.fail = func(string, string, *http.Request) error { return forbidden("create", "tokenreviews") }
	if _, err = s.cluster(t).Attest(t.Context(), "secret-token", "weft"); err == nil || errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "forbidden") {
		t.Error(err)
	}
}

// What can't be a token is not sent anywhere.
func TestNoToken(t *testing.T) {
	s := newServer()
	for _, token := range []string{"", "a b", "a\n", "ä", strings.Repeat("a", maxToken+1)} {
		if _, err := s.cluster(t).Attest(t.Context(), token, "weft"); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", token, err)
		}
	}
	if len(s.requests) > 0 {
		t.Error(s.requests)
	}
}

func FuzzAccountOf(f *testing.F) {
	for _, s := range []string{"", "system:serviceaccount:a:b", "system:serviceaccount:a:b:c", "system:serviceaccount::", "system:node:a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, user string) {
		namespace, account, err := accountOf(user)
		if err == nil && user != accounts+namespace+":"+account || err != nil && namespace+account != "" || strings.ContainsAny(namespace+account, ":/") {
			t.Errorf("%q: %q, %q, %v", user, namespace, account, err)
		}
	})
}

// Who sends a bad token again and again costs the API server one question in a while; a good one is asked about each time.
func TestBadTokensAreRemembered(t *testing.T) {
	s, asked, good := newServer(), 0, false
	s.review = func(o map[string]any) {
		asked++
		if o["status"] = map[string]any{}; good {
			o["status"] = reviewed(nil)
		}
	}
	c := s.cluster(t)
	for range 5 {
		if _, err := c.Attest(t.Context(), "bad", "weft"); !errors.Is(err, ErrToken) {
			t.Error(err)
		}
	}
	if _, err := c.Attest(t.Context(), "another", "weft"); !errors.Is(err, ErrToken) || asked != 2 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	good = true
	for token := range c.refused.by { // time goes by
		c.refused.by[token] = turnedDown{c.refused.by[token].err, time.Now().Add(-refusedFor)}
	}
	for range 2 {
		if _, err := c.Attest(t.Context(), "bad", "weft"); err != nil {
			t.Error(err)
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times", asked)
	}
	for i := range 2 * mostRefused {
		c.refused.add(fmt.Sprint(i), ErrToken, time.Now())
	}
	if n := len(c.refused.by); n > mostRefused {
		t.Errorf("%d are remembered", n)
	}
}
