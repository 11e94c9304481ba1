package main

import (
	"net/http"
	"testing"
	"time"
)

func TestPeerIsFoundByNameThenByKubernetesThenBare(t *testing.T) {
	for _, c := range []struct {
		name          string
		env           settings
		address, host string
	}{
		{"bare", settings{}, "reviews:9080", "reviews:9080"},
		{"kubernetes", settings{"REVIEWS_SERVICE_HOST": "10.0.0.7", "REVIEWS_SERVICE_PORT": "9081"}, "10.0.0.7:9081", "reviews:9081"},
		{"kubernetes without port", settings{"REVIEWS_SERVICE_HOST": "10.0.0.7"}, "10.0.0.7:9080", "reviews:9080"},
		{"kubernetes, IPv6", settings{"REVIEWS_SERVICE_HOST": "fd00::7", "REVIEWS_SERVICE_PORT": "9080"}, "[fd00::7]:9080", "reviews:9080"},
		{"hostname wins", settings{"REVIEWS_HOSTNAME": "other", "REVIEWS_SERVICE_HOST": "10.0.0.7"}, "other:9080", "other:9080"},
		{"hostname with port", settings{"REVIEWS_HOSTNAME": "other:80"}, "other:80", "other:80"},
		{"domain wins", settings{"SERVICES_DOMAIN": "shop.svc", "REVIEWS_SERVICE_HOST": "10.0.0.7"}, "reviews.shop.svc:9080", "reviews.shop.svc:9080"},
		{"hostname, port and domain", settings{"REVIEWS_HOSTNAME": "r:81", "SERVICES_DOMAIN": "shop"}, "r.shop:81", "r.shop:81"},
		{"another service's variables", settings{"RATINGS_SERVICE_HOST": "10.0.0.7"}, "reviews:9080", "reviews:9080"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer("reviews", time.Second, c.env.get)
			if p.address != c.address || p.host != c.host {
				t.Errorf("dials %s as %s, want %s as %s", p.address, p.host, c.address, c.host)
			}
		})
	}
}

func TestPeerIsNamedInTheHostHeader(t *testing.T) {
	srv, asked := startRecorder(t, 200, `{}`)
	p := newPeer("ratings", time.Minute, settings{}.with("ratings", srv).get)
	if _, err := p.get(t.Context(), "/ratings/0", http.Header{}); err != nil {
		t.Fatal(err)
	}
	if got := (<-asked).Host; got != p.host || got[:8] != "ratings:" {
		t.Errorf("Host is %q, want the service's name and port", got)
	}
}

func TestPeerErrors(t *testing.T) {
	broken, _ := startRecorder(t, 200, `<html>`)
	busy, _ := startRecorder(t, 503, `{}`)
	for _, c := range []struct {
		name   string
		env    settings
		status int
	}{
		{"not JSON", settings{}.with("ratings", broken), 200},
		{"not 200", settings{}.with("ratings", busy), 503},
		{"nobody there", settings{}.with("ratings", startStopped(t)), 0},
		{"bad address", settings{"RATINGS_HOSTNAME": "no such host%"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := newPeer("ratings", time.Minute, c.env.get).get(t.Context(), "/ratings/0", http.Header{})
			if err == nil || a.status != c.status {
				t.Errorf("got status %d and error %v, want %d and an error", a.status, err, c.status)
			}
		})
	}
}

func TestPeerIsGivenUpAfterItsTimeout(t *testing.T) {
	srv := startHandler(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	p := newPeer("ratings", time.Millisecond, settings{}.with("ratings", srv).get)
	if a, err := p.get(t.Context(), "/ratings/0", http.Header{}); err == nil || a.status != 0 {
		t.Errorf("got status %d and error %v, want none and a timeout", a.status, err)
	}
}
