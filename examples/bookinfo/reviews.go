package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// bookReviews is the answer of reviews. The id is a string here, as it is in the well-known application.
type bookReviews struct {
	ID          string   `json:"id"`
	Podname     string   `json:"podname"`
	Clustername string   `json:"clustername"`
	Reviews     []review `json:"reviews"`
}

type review struct {
	Reviewer string  `json:"reviewer"`
	Text     string  `json:"text"`
	Rating   *rating `json:"rating,omitempty"` // nil: this version shows none
}

// rating is stars of a colour, or an error.
type rating struct {
	Stars *int   `json:"stars,omitempty"`
	Color string `json:"color,omitempty"`
	Error string `json:"error,omitempty"`
}

const noRating = "Ratings service is currently unavailable"

type reviews struct {
	setup
	color   string
	ratings *peer // nil: this version shows no stars
}

// newReviews shows no stars as v1, black ones as v2, red ones as v3; ENABLE_RATINGS and STAR_COLOR overrule the version.
func newReviews(s setup) (http.Handler, error) {
	v := newReviewsService(s)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy("Reviews is healthy"))
	mux.HandleFunc("GET /reviews/{id}", v.reviews)
	return mux, nil
}

// newReviewsService differs in its patience with ratings on purpose, as the well-known application does: 10 s with
// black stars, which is more than productpage has with reviews, and 2.5 s with others. A delay of ratings shows that
// as a fault of the whole.
func newReviewsService(s setup) *reviews {
	color, stars := styleOf(s.Version)
	v := &reviews{setup: s, color: or(s.env("STAR_COLOR"), color)}
	if e := s.env("ENABLE_RATINGS"); e != "" {
		stars = strings.EqualFold(e, "true")
	}
	if !stars {
		return v
	}
	patience := 2500 * time.Millisecond
	if v.color == "black" {
		patience = 10 * time.Second
	}
	v.ratings = newPeer("ratings", patience, s.env)
	return v
}

func styleOf(version string) (color string, stars bool) {
	switch version {
	case "v2":
		return "black", true
	case "v3":
		return "red", true
	}
	return "black", false
}

func (v *reviews) reviews(w http.ResponseWriter, r *http.Request) {
	id, ok := productID(r)
	if !ok {
		writeJSON(w, http.StatusNotFound, failure{"please provide numeric product id"})
		return
	}
	answer := bookReviews{ID: strconv.Itoa(id), Podname: v.Name, Clustername: v.Cluster, Reviews: opinions()}
	if v.ratings != nil {
		v.rate(r, answer)
	}
	writeJSON(w, http.StatusOK, answer)
}

func opinions() []review {
	return []review{
		{Reviewer: "Reviewer1", Text: "Two pairs of twins, one day, and not one dull minute. I laughed until my neighbours knocked."},
		{Reviewer: "Reviewer2", Text: "Great fun on a rainy afternoon. Look elsewhere in Shakespeare for depth; this one is all clockwork and wit."},
	}
}

// rate gives each review its stars, or says that there are none to be had.
func (v *reviews) rate(r *http.Request, answer bookReviews) {
	given, err := v.askRatings(r, answer.ID)
	if err != nil {
		v.log.Warn("no ratings", "product", answer.ID, "error", err)
	}
	for i := range answer.Reviews {
		a := &answer.Reviews[i]
		a.Rating = &rating{Error: noRating}
		if stars, ok := given[a.Reviewer]; ok {
			a.Rating = &rating{Stars: &stars, Color: v.color}
		}
	}
}

func (v *reviews) askRatings(r *http.Request, id string) (map[string]int, error) {
	header := propagate(r.Header, traceHeaders, callerHeaders, []string{endUser})
	a, err := v.ratings.get(r.Context(), "/ratings/"+id, header)
	if err != nil {
		return nil, err
	}
	var given bookRatings
	if err := json.Unmarshal(a.body, &given); err != nil {
		return nil, err
	}
	return given.Ratings, nil
}
