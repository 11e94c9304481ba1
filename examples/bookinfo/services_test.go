package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	for service, want := range map[string]string{
		"productpage": `Product page is healthy`,
		"details":     `{"status":"Details is healthy"}`,
		"reviews":     `{"status":"Reviews is healthy"}`,
		"ratings":     `{"status":"Ratings is healthy"}`,
		"books":       `{"status":"Books is healthy"}`,
	} {
		srv := startService(t, service, "", settings{})
		if status, body := get(t, http.DefaultClient, srv.URL+"/health"); status != 200 || body != want {
			t.Errorf("%s: %d %s, want 200 %s", service, status, body, want)
		}
	}
}

func TestEveryAnswerNamesItsInstance(t *testing.T) {
	srv := startService(t, "reviews", "v1", settings{})
	resp, err := http.Get(srv.URL + "/reviews/0")
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	h := resp.Header
	if h.Get("x-bookinfo-service") != "reviews" || h.Get("x-bookinfo-version") != "v1" || h.Get("x-bookinfo-instance") != "reviews-1" {
		t.Errorf("headers are %v", h)
	}
}

const shelfBook = `{"id":7,"author":"William Shakespeare","year":1595,"type":"paperback","pages":200,
	"publisher":"PublisherA","language":"English","ISBN-10":"1234567890","ISBN-13":"123-1234567890"}`

const bookOutside = `{"id":7,"author":"William Shakespeare","year":"2002-08-01","type":"paperback","pages":64,
	"publisher":"Courier Corporation","language":"English","ISBN-10":"0486424618","ISBN-13":"9780486424613"}`

func TestDetails(t *testing.T) {
	books := startService(t, "books", "", settings{})
	empty, _ := startRecorder(t, 200, `{"items":[]}`)
	nonsense, _ := startRecorder(t, 200, `nonsense`)
	busy, _ := startRecorder(t, 500, `{}`)
	external := func(url string) settings { return settings{"BOOK_SERVICE_URL": url} }
	for _, c := range []struct {
		name, version string
		env           settings
		path          string
		status        int
		body          string // a part of it, or all of it when it begins with a brace
	}{
		{"v1", "v1", nil, "/details/7", 200, shelfBook},
		{"not a number", "v1", nil, "/details/x", 400, `{"error":"please provide numeric product id"}`},
		{"below zero", "v1", nil, "/details/-1", 400, `{"error":"please provide numeric product id"}`},
		{"v2", "v2", external(books.URL + "/books/v1/volumes?key=1"), "/details/7", 200, bookOutside},
		{"asked for by variable", "v1", settings{"BOOK_SERVICE_URL": books.URL, "ENABLE_EXTERNAL_BOOK_SERVICE": "true"}, "/details/7", 200, bookOutside},
		{"v2 without a service", "v2", nil, "/details/7", 503, "set BOOK_SERVICE_URL"},
		{"v2, book unknown", "v2", external(empty.URL), "/details/7", 502, "knows no book with ISBN 0486424618"},
		{"v2, answer not understood", "v2", external(nonsense.URL), "/details/7", 502, "not understood"},
		{"v2, service fails", "v2", external(busy.URL), "/details/7", 502, "answered 500"},
		{"v2, service gone", "v2", external(startStopped(t).URL), "/details/7", 502, "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := startService(t, "details", c.version, c.env)
			status, body := get(t, http.DefaultClient, srv.URL+c.path)
			wantAnswer(t, status, body, c.status, c.body)
		})
	}
}

func wantAnswer(t *testing.T, status int, body string, wantStatus int, wantBody string) {
	t.Helper()
	if status != wantStatus {
		t.Errorf("status %d, want %d: %s", status, wantStatus, body)
	}
	if strings.HasPrefix(wantBody, "{") {
		wantJSON(t, body, wantBody)
	} else if !strings.Contains(body, wantBody) {
		t.Errorf("answer %s, want %q in it", body, wantBody)
	}
}

func TestDetailsRefusesABadBookServiceURL(t *testing.T) {
	for _, u := range []string{"books", "ftp://books/", "http://", ":"} {
		_, err := newDetails(setup{env: settings{"BOOK_SERVICE_URL": u}.get})
		if err == nil || !strings.Contains(err.Error(), "BOOK_SERVICE_URL") {
			t.Errorf("%q: error %v, want one that names the variable", u, err)
		}
	}
}

func TestReviews(t *testing.T) {
	ratings := startService(t, "ratings", "v1", settings{})
	half, _ := startRecorder(t, 200, `{"id":0,"ratings":{"Reviewer1":0}}`)
	broken, _ := startRecorder(t, 200, `{"ratings":7}`)
	const unavailable = `{"error":"Ratings service is currently unavailable"}`
	with := func(env settings, more ...string) settings {
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	for _, c := range []struct {
		name, version string
		env           settings
		one, two      string // ratings; empty: none
	}{
		{"v1 asks nobody", "v1", settings{}.with("ratings", startStopped(t)), "", ""},
		{"v2", "v2", settings{}.with("ratings", ratings), `{"stars":5,"color":"black"}`, `{"stars":4,"color":"black"}`},
		{"v3", "v3", settings{}.with("ratings", ratings), `{"stars":5,"color":"red"}`, `{"stars":4,"color":"red"}`},
		{"own colour", "v3", with(settings{}.with("ratings", ratings), "STAR_COLOR", "blue"), `{"stars":5,"color":"blue"}`, `{"stars":4,"color":"blue"}`},
		{"v1 with ratings", "v1", with(settings{}.with("ratings", ratings), "ENABLE_RATINGS", "true"), `{"stars":5,"color":"black"}`, `{"stars":4,"color":"black"}`},
		{"v2 without", "v2", settings{"ENABLE_RATINGS": "false"}, "", ""},
		{"ratings gone", "v2", settings{}.with("ratings", startStopped(t)), unavailable, unavailable},
		{"ratings fail", "v3", settings{}.with("ratings", startService(t, "ratings", "v2", settings{})), unavailable, unavailable},
		{"ratings not understood", "v3", settings{}.with("ratings", broken), unavailable, unavailable},
		{"no stars are stars too; one reviewer lacks", "v2", settings{}.with("ratings", half), `{"stars":0,"color":"black"}`, unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.env["CLUSTER_NAME"] = "east"
			srv := startService(t, "reviews", c.version, c.env)
			status, body := get(t, http.DefaultClient, srv.URL+"/reviews/0")
			texts := opinions()
			wantAnswer(t, status, body, 200, `{"id":"0","podname":"reviews-1","clustername":"east","reviews":[`+
				reviewJSON(texts[0], c.one)+`,`+reviewJSON(texts[1], c.two)+`]}`)
		})
	}
}

func reviewJSON(r review, rating string) string {
	s := `{"reviewer":` + strconv.Quote(r.Reviewer) + `,"text":` + strconv.Quote(r.Text)
	if rating != "" {
		s += `,"rating":` + rating
	}
	return s + "}"
}

func TestReviewsOfWhatIsNotANumber(t *testing.T) {
	srv := startService(t, "reviews", "v1", settings{})
	if status, _ := get(t, http.DefaultClient, srv.URL+"/reviews/x"); status != 404 {
		t.Errorf("status %d, want 404", status)
	}
}

func TestReviewsPatienceDependsOnTheColour(t *testing.T) {
	for version, want := range map[string]time.Duration{"v2": 10 * time.Second, "v3": 2500 * time.Millisecond} {
		s := setup{env: settings{}.get}
		s.Version = version
		v := newReviewsService(s)
		if v.ratings.timeout != want {
			t.Errorf("%s waits %s, want %s", version, v.ratings.timeout, want)
		}
	}
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, resp)
}

func TestRatingsInMemory(t *testing.T) {
	srv := startService(t, "ratings", "v1", settings{})
	status, body := get(t, http.DefaultClient, srv.URL+"/ratings/3")
	wantAnswer(t, status, body, 200, `{"id":3,"ratings":{"Reviewer1":5,"Reviewer2":4}}`)
	status, body = post(t, srv.URL+"/ratings/3", `{"Reviewer1":1,"Reviewer2":2}`)
	wantAnswer(t, status, body, 200, `{"id":3,"ratings":{"Reviewer1":1,"Reviewer2":2}}`)
	status, body = get(t, http.DefaultClient, srv.URL+"/ratings/3")
	wantAnswer(t, status, body, 200, `{"id":3,"ratings":{"Reviewer1":1,"Reviewer2":2}}`)
	status, body = get(t, http.DefaultClient, srv.URL+"/ratings/4")
	wantAnswer(t, status, body, 200, `{"id":4,"ratings":{"Reviewer1":5,"Reviewer2":4}}`)
}

func TestRatingsRefuse(t *testing.T) {
	memory := startService(t, "ratings", "v1", settings{})
	store := startService(t, "ratings", "v2", settings{})
	for _, c := range []struct {
		url, body string
		status    int
	}{
		{memory.URL + "/ratings/x", `{}`, 400},
		{memory.URL + "/ratings/1", `{`, 400},
		{memory.URL + "/ratings/1", `null`, 400},
		{memory.URL + "/ratings/1", `{"Reviewer1":"many"}`, 400},
		{memory.URL + "/ratings/1", `{"` + strings.Repeat("x", maxRatings) + `":1}`, 400},
		{store.URL + "/ratings/1", `{"Reviewer1":1}`, 501},
	} {
		if status, body := post(t, c.url, c.body); status != c.status {
			t.Errorf("POST %s %.40s: %d %s, want %d", c.url, c.body, status, body, c.status)
		}
	}
	if status, body := get(t, http.DefaultClient, memory.URL+"/ratings/x"); status != 400 {
		t.Errorf("GET: %d %s, want 400", status, body)
	}
}

func TestRatingsAreBounded(t *testing.T) {
	v := &ratings{posted: make(map[int]map[string]int)}
	for id := range maxProducts {
		if !v.keep(id, nil) {
			t.Fatalf("product %d refused", id)
		}
	}
	if v.keep(maxProducts, nil) || !v.keep(0, nil) {
		t.Error("want a new product refused and a known one taken")
	}
}

func TestRatingsFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ratings.json")
	srv := startService(t, "ratings", "v2-mysql", settings{"RATINGS_FILE": file})
	for _, c := range []struct {
		text   string
		status int
		body   string
	}{
		{"", 500, "could not connect to ratings store"},
		{`{"Reviewer1":2,"Reviewer2":1}`, 200, `{"id":0,"ratings":{"Reviewer1":2,"Reviewer2":1}}`},
		{`[]`, 500, "could not load ratings from store"},
	} {
		if c.text != "" {
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		status, body := get(t, http.DefaultClient, srv.URL+"/ratings/0")
		wantAnswer(t, status, body, c.status, c.body)
	}
	status, body := get(t, http.DefaultClient, startService(t, "ratings", "v2", settings{}).URL+"/ratings/0")
	wantAnswer(t, status, body, 500, "RATINGS_FILE is not set")
}

func TestRatingsFailOnPurpose(t *testing.T) {
	for _, c := range []struct {
		version string
		up      time.Duration
		luck    float64
		want    health
	}{
		{"v1", time.Hour, 0, health{}},
		{"v-faulty", 0, 0.49, health{unavailable: true}},
		{"v-faulty", 0, 0.5, health{}},
		{"v-delayed", 0, 0.49, health{delay: 7 * time.Second}},
		{"v-delayed", 0, 0.5, health{}},
		{"v-unavailable", 59 * time.Second, 0, health{}},
		{"v-unavailable", 60 * time.Second, 0, health{unavailable: true}},
		{"v-unavailable", 120 * time.Second, 0, health{}},
		{"v-unhealthy", 14 * time.Minute, 0, health{}},
		{"v-unhealthy", 15 * time.Minute, 0, health{unavailable: true, unhealthy: true}},
		{"v-unhealthy", 30 * time.Minute, 0, health{}},
	} {
		if got := healthOf(c.version, c.up, c.luck); got != c.want {
			t.Errorf("%s after %s with %v: %+v, want %+v", c.version, c.up, c.luck, got, c.want)
		}
	}
}

func TestRatingsShowTheirFaults(t *testing.T) {
	for _, c := range []struct {
		health        health
		rating, check int
	}{
		{health{}, 200, 200},
		{health{unavailable: true}, 503, 200},
		{health{unavailable: true, unhealthy: true}, 503, 500},
		{health{delay: time.Millisecond}, 200, 200},
	} {
		v := &ratings{health: func() health { return c.health }}
		srv := startHandler(t, v.routes())
		rating, _ := get(t, http.DefaultClient, srv.URL+"/ratings/0")
		checked, _ := get(t, http.DefaultClient, srv.URL+"/health")
		if rating != c.rating || checked != c.check {
			t.Errorf("%+v: %d and health %d, want %d and %d", c.health, rating, checked, c.rating, c.check)
		}
	}
}
