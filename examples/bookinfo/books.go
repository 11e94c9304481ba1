package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// isbn is the edition of The Comedy of Errors that details v2 asks for.
const isbn = "0486424618"

var errNoBookService = errors.New("details v2 has no external book service to ask: set BOOK_SERVICE_URL to one that answers " +
	"like Google Books (https://www.googleapis.com/books/v1/volumes), or start details as v1")

// bookService is a service outside of the shop that answers in the shape of Google Books' volumes list.
type bookService struct {
	url    *url.URL // nil: none
	client *http.Client
}

func newBookService(address string) (*bookService, error) {
	if address == "" {
		return &bookService{}, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("BOOK_SERVICE_URL %q: want an http or https URL", address)
	}
	client := newClient()
	client.Timeout = 5 * time.Second
	return &bookService{u, client}, nil
}

// volumes is the part of Google Books' answer that is read (https://developers.google.com/books/docs/v1/reference/volumes).
type volumes struct {
	Items []volume `json:"items"`
}

type volume struct {
	Info volumeInfo `json:"volumeInfo"`
}

type volumeInfo struct {
	Authors       []string     `json:"authors"`
	PublishedDate string       `json:"publishedDate"`
	PrintType     string       `json:"printType"`
	PageCount     int          `json:"pageCount"`
	Publisher     string       `json:"publisher"`
	Language      string       `json:"language"`
	Identifiers   []identifier `json:"industryIdentifiers"`
}

type identifier struct {
	Type       string `json:"type"`
	Identifier string `json:"identifier"`
}

// details asks for the book. Errors say where the book was looked for and what came instead.
func (b *bookService) details(ctx context.Context, id int, header http.Header) (bookDetails, error) {
	if b.url == nil {
		return bookDetails{}, errNoBookService
	}
	u := *b.url
	q := u.Query()
	q.Set("q", "isbn:"+isbn)
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return bookDetails{}, err
	}
	r.Header = header
	resp, err := b.client.Do(r)
	if err != nil {
		return bookDetails{}, fmt.Errorf("external book service: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return bookDetails{}, fmt.Errorf("external book service at %s answered %s", u.Host, resp.Status)
	}
	var found volumes
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&found); err != nil {
		return bookDetails{}, fmt.Errorf("external book service at %s: answer not understood: %w", u.Host, err)
	}
	if len(found.Items) == 0 {
		return bookDetails{}, fmt.Errorf("external book service at %s knows no book with ISBN %s", u.Host, isbn)
	}
	return found.Items[0].Info.details(id), nil
}

func (v volumeInfo) details(id int) bookDetails {
	d := bookDetails{
		ID: id, Author: "unknown", Year: v.PublishedDate, Type: "unknown", Pages: v.PageCount,
		Publisher: v.Publisher, Language: "unknown", ISBN10: v.identifier("ISBN_10"), ISBN13: v.identifier("ISBN_13"),
	}
	if len(v.Authors) > 0 {
		d.Author = v.Authors[0]
	}
	if v.PrintType == "BOOK" {
		d.Type = "paperback"
	}
	if v.Language == "en" {
		d.Language = "English"
	}
	return d
}

func (v volumeInfo) identifier(kind string) string {
	for _, i := range v.Identifiers {
		if i.Type == kind {
			return i.Identifier
		}
	}
	return ""
}

// newBooks is the other end: a book service that knows the one book, for machines that can't reach the real one.
func newBooks(setup) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy("Books is healthy"))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		var found volumes
		if r.URL.Query().Get("q") == "isbn:"+isbn {
			found.Items = []volume{{volumeInfo{
				Authors: []string{"William Shakespeare"}, PublishedDate: "2002-08-01", PrintType: "BOOK", PageCount: 64,
				Publisher: "Courier Corporation", Language: "en",
				Identifiers: []identifier{{"ISBN_10", isbn}, {"ISBN_13", "9780486424613"}},
			}}}
		}
		writeJSON(w, http.StatusOK, found)
	})
	return mux, nil
}
