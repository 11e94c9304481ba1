package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// startShop starts all services, with the given version of reviews.
func startShop(t *testing.T, reviewsVersion string) *httptest.Server {
	t.Helper()
	ratings := startService(t, "ratings", "v1", settings{})
	reviews := startService(t, "reviews", reviewsVersion, settings{}.with("ratings", ratings))
	details := startService(t, "details", "v1", settings{})
	return startService(t, "productpage", "v1", settings{}.with("details", details).with("reviews", reviews).with("ratings", ratings))
}

func TestPageShowsTheBookAndWhoAnswered(t *testing.T) {
	for version, stars := range map[string]string{"v1": "", "v2": "4 of 5 stars, black", "v3": "4 of 5 stars, red"} {
		t.Run(version, func(t *testing.T) {
			status, page := get(t, http.DefaultClient, startShop(t, version).URL+"/productpage")
			if status != 200 {
				t.Fatalf("status %d: %s", status, page)
			}
			for _, want := range []string{
				"<h1>The Comedy of Errors</h1>", "by William Shakespeare", "<dd>200</dd>", "<dd>1595</dd>", "123-1234567890",
				"Reviews served by: <code>reviews-1</code>", "Reviewer2", "details-1", "productpage-1", stars,
			} {
				if !strings.Contains(page, want) {
					t.Errorf("page lacks %q", want)
				}
			}
			if got := strings.Count(page, "of 5 stars"); (got != 0) != (stars != "") {
				t.Errorf("%d ratings shown", got)
			}
			if strings.Contains(page, "Error fetching") {
				t.Error("page shows an error")
			}
		})
	}
}

func TestPageNeedsNothingFromElsewhere(t *testing.T) {
	srv := startShop(t, "v3")
	for _, path := range []string{"/", "/index.html", "/productpage"} {
		resp, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%s: policy %q lets assets in", path, csp)
		}
		_, page := readAll(t, resp)
		for _, bad := range []string{"<script", "<link", "<img", "src=", "url(", "@import", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %q in it", path, bad)
			}
		}
	}
}

func TestPageSaysWhatFailed(t *testing.T) {
	down := startStopped(t)
	details := startService(t, "details", "v1", settings{})
	reviews := startService(t, "reviews", "v2", settings{}.with("ratings", down))
	denied, _ := startRecorder(t, 403, `RBAC: access denied`)
	const (
		noDetails = "Error fetching product details!</h2>\n        <p>Sorry, product details are currently unavailable for this book."
		noReviews = "Error fetching product reviews!</h2>\n      <p>Sorry, product reviews are currently unavailable for this book."
	)
	for _, c := range []struct {
		name       string
		env        settings
		want, lack []string
	}{
		{"details down", settings{}.with("details", down).with("reviews", reviews), []string{noDetails, "Reviewer1"}, []string{noReviews, "<dl"}},
		{"reviews down", settings{}.with("details", details).with("reviews", down), []string{noReviews, "<dl"}, []string{noDetails, "Reviews served by"}},
		{"both refuse", settings{}.with("details", denied).with("reviews", denied), []string{noDetails, noReviews, "The Comedy of Errors"}, []string{"RBAC"}},
		{"ratings down", settings{}.with("details", details).with("reviews", reviews), []string{"Ratings service is currently unavailable"}, []string{"Error fetching", "of 5 stars"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, page := get(t, http.DefaultClient, startService(t, "productpage", "v1", c.env).URL+"/productpage")
			if status != 200 {
				t.Errorf("status %d, want 200: the page itself is there", status)
			}
			for _, want := range c.want {
				if !strings.Contains(page, want) {
					t.Errorf("page lacks %q", want)
				}
			}
			for _, lack := range c.lack {
				if strings.Contains(page, lack) {
					t.Errorf("page shows %q", lack)
				}
			}
		})
	}
}

func TestPageEscapesWhatPeersSay(t *testing.T) {
	reviews, _ := startRecorder(t, 200, `{"podname":"<script>","reviews":[{"reviewer":"<b>","text":"<script>alert(1)</script>",
		"rating":{"stars":3,"color":"red;background:url(//evil)"}}]}`)
	srv := startService(t, "productpage", "v1", settings{}.with("reviews", reviews).with("details", startService(t, "details", "v1", settings{})))
	_, page := get(t, http.DefaultClient, srv.URL+"/productpage")
	if strings.Contains(page, "<script") || strings.Contains(page, `style="color: red;b`) {
		t.Error("a peer's words became markup")
	}
}

func TestAPI(t *testing.T) {
	srv := startShop(t, "v1")
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/api/v1/products", 200, `"title":"The Comedy of Errors","descriptionHtml":"`},
		{"/api/v1/products/7", 200, shelfBook},
		{"/api/v1/products/0/reviews", 200, `"podname":"reviews-1"`},
		{"/api/v1/products/0/ratings", 200, `{"id":0,"ratings":{"Reviewer1":5,"Reviewer2":4}}`},
		{"/api/v1/products/x", 400, `"error"`},
		{"/api/v1/products/0/else", 404, ""},
		{"/nothing", 404, ""},
	} {
		status, body := get(t, http.DefaultClient, srv.URL+c.path)
		wantAnswer(t, status, body, c.status, c.body)
	}
}

func TestAPIHandsAPeersFailureOn(t *testing.T) {
	fault, _ := startRecorder(t, 555, `fault filter abort`)
	broken, _ := startRecorder(t, 200, `<html>`)
	for _, c := range []struct {
		name   string
		peer   *httptest.Server
		status int
	}{{"status", fault, 555}, {"not JSON", broken, 500}, {"gone", startStopped(t), 500}} {
		srv := startService(t, "productpage", "v1", settings{}.with("details", c.peer).with("reviews", c.peer).with("ratings", c.peer))
		for path, what := range map[string]string{"": "details", "/reviews": "reviews", "/ratings": "ratings"} {
			status, body := get(t, http.DefaultClient, srv.URL+"/api/v1/products/0"+path)
			wantAnswer(t, status, body, c.status, `{"error":"Sorry, product `+what+` are currently unavailable for this book."}`)
		}
	}
}

// The well-known application asks twice for reviews and once for the rest, which its fault-injection example relies on.
func TestReviewsAreAskedTwice(t *testing.T) {
	peer, asked := startRecorder(t, 503, `{}`)
	srv := startService(t, "productpage", "v1", settings{}.with("details", peer).with("reviews", peer))
	get(t, http.DefaultClient, srv.URL+"/productpage")
	calls := map[string]int{}
	for range len(asked) {
		calls[(<-asked).URL.Path]++
	}
	if calls["/reviews/0"] != 2 || calls["/details/0"] != 1 {
		t.Errorf("calls are %v", calls)
	}
}

func TestSignInNamesTheUserInEveryCall(t *testing.T) {
	peer, asked := startRecorder(t, 200, `{}`)
	srv := startService(t, "productpage", "v1", settings{}.with("details", peer).with("reviews", peer))
	client := customer(t)
	visit := func() (users []string, page string) {
		_, page = get(t, client, srv.URL+"/productpage")
		for range len(asked) {
			users = append(users, (<-asked).Header.Get("end-user"))
		}
		return users, page
	}

	resp, err := client.PostForm(srv.URL+"/login", url.Values{"username": {"jason"}, "passwd": {"any"}})
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, resp); resp.Request.URL.Path != "/productpage" {
		t.Errorf("signing in led to %s", resp.Request.URL)
	}
	for range len(asked) {
		<-asked
	}
	if users, page := visit(); strings.Join(users, " ") != "jason jason" || !strings.Contains(page, "Signed in as <b>jason</b>") {
		t.Errorf("calls were made for %q", users)
	}
	get(t, client, srv.URL+"/logout")
	for range len(asked) {
		<-asked
	}
	if users, page := visit(); strings.Join(users, "") != "" || strings.Contains(page, "Signed in as") {
		t.Errorf("after signing out calls were made for %q", users)
	}
}

func TestSignInRefusesNamesThatNoHeaderCanCarry(t *testing.T) {
	srv := startService(t, "productpage", "v1", settings{})
	for _, user := range []string{"", " ", " jason", "jason\r\nx: y", "jäson", strings.Repeat("j", 65)} {
		resp, err := http.PostForm(srv.URL+"/login", url.Values{"username": {user}})
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := readAll(t, resp); status != 400 || len(resp.Cookies()) != 0 {
			t.Errorf("%q: status %d, cookies %v", user, status, resp.Cookies())
		}
	}
}

func TestForgedSessionIsNobody(t *testing.T) {
	for _, value := range []string{"%%%", "amFzb24=", "DQo"} { // not base64, padded, a line break
		r := httptest.NewRequest("GET", "/productpage", nil)
		r.Header.Set("Cookie", "session="+value)
		if user := userOf(r); user != "" {
			t.Errorf("session %q is %q", value, user)
		}
	}
}

func TestSignInNeverLeadsAway(t *testing.T) {
	for referer, want := range map[string]string{
		"":                                   "/productpage",
		"http://shop/productpage?u=test":     "/productpage?u=test",
		"http://shop/":                       "/",
		"http://evil.example//evil.example/": "/productpage",
		`http://x/\evil.example`:             "/productpage",
		"http://x/%2f/evil":                  "/productpage",
		"javascript:alert(1)":                "/productpage",
		"::":                                 "/productpage",
	} {
		r := httptest.NewRequest("POST", "/login", nil)
		r.Header.Set("Referer", referer)
		if got := backTo(r); got != want {
			t.Errorf("from %q back to %q, want %q", referer, got, want)
		}
	}
}
