package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
)

// bookDetails is the answer of details. Year and Pages are numbers from our shelf and what it sends from the external
// service (a year may be a date there).
type bookDetails struct {
	ID        int    `json:"id"`
	Author    string `json:"author"`
	Year      any    `json:"year"`
	Type      string `json:"type"`
	Pages     any    `json:"pages"`
	Publisher string `json:"publisher"`
	Language  string `json:"language"`
	ISBN10    string `json:"ISBN-10"`
	ISBN13    string `json:"ISBN-13"`
}

type details struct {
	external bool
	books    *bookService
	log      *slog.Logger
}

// newDetails is version v2, which asks the external book service, when its version begins with v2 or
// ENABLE_EXTERNAL_BOOK_SERVICE is true.
func newDetails(s setup) (http.Handler, error) {
	books, err := newBookService(s.env("BOOK_SERVICE_URL"))
	if err != nil {
		return nil, err
	}
	d := &details{
		external: strings.HasPrefix(s.Version, "v2") || s.env("ENABLE_EXTERNAL_BOOK_SERVICE") == "true",
		books:    books,
		log:      s.log,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy("Details is healthy"))
	mux.HandleFunc("GET /details/{id}", d.details)
	return mux, nil
}

func (d *details) details(w http.ResponseWriter, r *http.Request) {
	id, ok := productID(r)
	if !ok {
		writeJSON(w, http.StatusBadRequest, failure{"please provide numeric product id"})
		return
	}
	if !d.external {
		writeJSON(w, http.StatusOK, onShelf(id))
		return
	}
	// Trace headers only: whose cookie it is is no business of a service outside.
	book, err := d.books.details(r.Context(), id, propagate(r.Header, traceHeaders))
	if err != nil {
		d.log.Warn("external book service", "error", err)
		status := http.StatusBadGateway
		if errors.Is(err, errNoBookService) {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, failure{err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, book)
}

// onShelf has one book, whatever its id.
func onShelf(id int) bookDetails {
	return bookDetails{
		ID:        id,
		Author:    "William Shakespeare",
		Year:      1595,
		Type:      "paperback",
		Pages:     200,
		Publisher: "PublisherA",
		Language:  "English",
		ISBN10:    "1234567890",
		ISBN13:    "123-1234567890",
	}
}

// text renders a field whose type depends on the source.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "unknown"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}
