package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

//go:embed page
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"style": func() (template.CSS, error) {
		text, err := files.ReadFile("page/style.css")
		return template.CSS(text), err
	},
	"text":  text,
	"stars": func() []int { return []int{1, 2, 3, 4, 5} },
}).ParseFS(files, "page/*.html"))

// frame is what every page has around its content.
type frame struct {
	Title string
	User  string // who is logged in; empty: nobody
	Self  serve.Instance
}

type indexPage struct {
	frame
	Products []shownProduct
	Peers    []peerRow
}

type peerRow struct {
	peer *peer
	What string
}

func (p peerRow) Name() string    { return p.peer.name }
func (p peerRow) Host() string    { return p.peer.host }
func (p peerRow) Address() string { return p.peer.address }

type productPage struct {
	frame
	Product      shownProduct
	Details      *bookDetails // nil: DetailsError says why
	DetailsError string
	Reviews      *bookReviews // nil: ReviewsError says why
	ReviewsError string
	ReviewsFrom  serve.Instance
	Servers      []serve.Instance // who took part in this page
}

// shownProduct is a product whose description is ours and therefore HTML that can be trusted.
type shownProduct struct {
	product
	Description template.HTML
}

func shown(products []product) []shownProduct {
	var all []shownProduct
	for _, p := range products {
		all = append(all, shownProduct{p, template.HTML(p.DescriptionHTML)})
	}
	return all
}

func (p *productpage) frame(r *http.Request) frame {
	return frame{Title: "Bookinfo", User: userOf(r), Self: p.Instance}
}

func (page *productPage) setDetails(a answer, err error) {
	if page.DetailsError = sorry(a, err, &page.Details); page.DetailsError == "" {
		page.Servers = append(page.Servers, a.server)
	}
}

func (page *productPage) setReviews(a answer, err error) {
	if page.ReviewsError = sorry(a, err, &page.Reviews); page.ReviewsError != "" {
		return
	}
	page.ReviewsFrom = a.server
	page.ReviewsFrom.Name = or(page.Reviews.Podname, a.server.Name)
	page.Servers = append(page.Servers, page.ReviewsFrom)
}

// sorry decodes an answer, or returns what the customer is told instead.
func sorry(a answer, err error, into any) string {
	if err != nil {
		var f failure
		json.Unmarshal(a.body, &f)
		return f.Error
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return "Sorry, the answer could not be read: " + err.Error()
	}
	return ""
}

// Lit says whether the nth of five stars is lit.
func (r rating) Lit(n int) bool { return r.Stars != nil && n <= *r.Stars }

// render writes a whole page or, if its template fails, none of it.
func (p *productpage) render(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		p.log.Error("render", "page", name, "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // every view is a new trip through the mesh
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Write(b.Bytes())
}
