package main

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

// patience is how long productpage waits for one answer of a peer.
const patience = 3 * time.Second

// reviewsTries is the well-known application's fault on purpose: reviews are asked twice, 3 s each, where reviews v2
// waits 10 s for ratings; a delay of 7 s in ratings, harmless by itself, costs the page its reviews after 6 s.
const reviewsTries = 2

type productpage struct {
	setup
	details, reviews, ratings *peer
}

func newProductpage(s setup) (http.Handler, error) {
	p := &productpage{
		setup:   s,
		details: newPeer("details", patience, s.env),
		reviews: newPeer("reviews", patience, s.env),
		ratings: newPeer("ratings", patience, s.env),
	}
	return p.routes(), nil
}

func (p *productpage) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.showIndex)
	mux.HandleFunc("GET /index.html", p.showIndex)
	mux.HandleFunc("GET /productpage", p.showProduct)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Product page is healthy") })
	mux.HandleFunc("POST /login", p.login)
	mux.HandleFunc("GET /logout", p.logout)
	mux.HandleFunc("GET /api/v1/products", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, products) })
	mux.HandleFunc("GET /api/v1/products/{id}", p.api(p.getDetails))
	mux.HandleFunc("GET /api/v1/products/{id}/reviews", p.api(p.getReviews))
	mux.HandleFunc("GET /api/v1/products/{id}/ratings", p.api(p.getRatings))
	return mux
}

// product is a book of the shop's list, which has one.
type product struct {
	ID              int    `json:"id"`
	Title           string `json:"title"`
	DescriptionHTML string `json:"descriptionHtml"`
}

var products = []product{{
	ID:    0,
	Title: "The Comedy of Errors",
	DescriptionHTML: `One of <b>William Shakespeare’s</b> first plays, and his shortest: two pairs of twins, parted by a ` +
		`shipwreck, spend a day in the same town without knowing it. Everybody takes everybody for somebody else ` +
		`(<a href="https://en.wikipedia.org/wiki/The_Comedy_of_Errors">Wikipedia</a>).`,
}}

// fetch asks one peer about a product. Its answer always has a status to hand on; with an error its body says what the
// customer is told.
type fetch func(r *http.Request, id string) (answer, error)

func (p *productpage) getDetails(r *http.Request, id string) (answer, error) {
	return p.ask(r, p.details, "/details/"+id, 1, "Sorry, product details are currently unavailable for this book.")
}

func (p *productpage) getReviews(r *http.Request, id string) (answer, error) {
	return p.ask(r, p.reviews, "/reviews/"+id, reviewsTries, "Sorry, product reviews are currently unavailable for this book.")
}

func (p *productpage) getRatings(r *http.Request, id string) (answer, error) {
	return p.ask(r, p.ratings, "/ratings/"+id, 1, "Sorry, product ratings are currently unavailable for this book.")
}

func (p *productpage) ask(r *http.Request, peer *peer, path string, tries int, sorry string) (answer, error) {
	var a answer
	var err error
	for range tries {
		if a, err = peer.get(r.Context(), path, headersFor(r)); err == nil {
			return a, nil
		}
	}
	p.log.Warn("peer failed", "peer", peer.name, "error", err)
	if a.status == 0 || a.status == http.StatusOK {
		a.status = http.StatusInternalServerError
	}
	a.body, _ = json.Marshal(failure{sorry})
	return a, err
}

// headersFor are the headers of a call made for r; end-user comes from the session alone.
func headersFor(r *http.Request) http.Header {
	h := propagate(r.Header, traceHeaders, callerHeaders)
	if user := userOf(r); user != "" {
		h.Set(endUser, user)
	}
	return h
}

// api hands a peer's answer on, its status too.
func (p *productpage) api(get fetch) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, ok := productID(r); !ok {
			writeJSON(w, http.StatusBadRequest, failure{"please provide numeric product id"})
			return
		}
		a, _ := get(r, r.PathValue("id"))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		w.Write(a.body)
	}
}

func (p *productpage) showIndex(w http.ResponseWriter, r *http.Request) {
	p.render(w, "index.html", indexPage{
		frame: p.frame(r), Products: shown(products),
		Peers: []peerRow{{p.details, "what the book is"}, {p.reviews, "what readers say"}, {p.ratings, "how many stars; asked by reviews"}},
	})
}

func (p *productpage) showProduct(w http.ResponseWriter, r *http.Request) {
	page := productPage{frame: p.frame(r), Product: shown(products)[0]}
	page.Title = products[0].Title
	page.setDetails(p.getDetails(r, "0"))
	page.setReviews(p.getReviews(r, "0"))
	page.Servers = append([]serve.Instance{p.Instance}, page.Servers...)
	p.render(w, "productpage.html", page)
}
