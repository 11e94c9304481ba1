package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// bookRatings is the answer of ratings: stars by reviewer.
type bookRatings struct {
	ID      int            `json:"id"`
	Ratings map[string]int `json:"ratings"`
}

const (
	maxRatings  = 64 << 10 // bytes of a POST
	maxProducts = 1000     // that ratings can be posted for
)

type ratings struct {
	version string
	file    string // of version v2; empty: not set
	stored  bool   // version v2: the file, not memory
	log     *slog.Logger
	health  func() health
	mu      sync.Mutex
	posted  map[int]map[string]int
}

// newRatings keeps ratings in memory, and takes new ones by POST; a version that begins with v2 reads them from the
// file RATINGS_FILE instead, with every call, so that a change shows at once.
func newRatings(s setup) (http.Handler, error) {
	started := time.Now()
	v := &ratings{
		version: s.Version,
		file:    s.env("RATINGS_FILE"),
		stored:  s.Version == "v2" || strings.HasPrefix(s.Version, "v2-"),
		log:     s.log,
		health:  func() health { return healthOf(s.Version, time.Since(started), rand.Float64()) },
		posted:  make(map[int]map[string]int),
	}
	return v.routes(), nil
}

func (v *ratings) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", v.checkHealth)
	mux.HandleFunc("GET /ratings/{id}", v.get)
	mux.HandleFunc("POST /ratings/{id}", v.post)
	return mux
}

func (v *ratings) checkHealth(w http.ResponseWriter, _ *http.Request) {
	if v.health().unhealthy {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"status": "Ratings is not healthy"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "Ratings is healthy"})
}

func (v *ratings) get(w http.ResponseWriter, r *http.Request) {
	id, ok := productID(r)
	if !ok {
		writeJSON(w, http.StatusBadRequest, failure{"please provide numeric product ID"})
		return
	}
	h := v.health()
	if h.unavailable {
		writeJSON(w, http.StatusServiceUnavailable, failure{"Service unavailable"})
		return
	}
	if h.delay > 0 && !wait(r, h.delay) {
		return
	}
	given, err := v.of(id)
	if err != nil {
		v.log.Error("ratings store", "error", err)
		writeJSON(w, http.StatusInternalServerError, failure{err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, bookRatings{id, given})
}

// wait returns false when the caller left first.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// of returns the stars of a product: those in the file (v2), those posted, or five and four.
func (v *ratings) of(id int) (map[string]int, error) {
	if v.stored {
		return load(v.file)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if given, ok := v.posted[id]; ok {
		return given, nil
	}
	return map[string]int{"Reviewer1": 5, "Reviewer2": 4}, nil
}

func (v *ratings) post(w http.ResponseWriter, r *http.Request) {
	id, ok := productID(r)
	if !ok {
		writeJSON(w, http.StatusBadRequest, failure{"please provide numeric product ID"})
		return
	}
	var given map[string]int
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRatings)).Decode(&given)
	switch {
	case err != nil || given == nil:
		writeJSON(w, http.StatusBadRequest, failure{`please provide valid ratings JSON, such as {"Reviewer1": 5, "Reviewer2": 3}`})
	case v.stored:
		writeJSON(w, http.StatusNotImplemented, failure{"Post not implemented for ratings that come from a store"})
	case !v.keep(id, given):
		writeJSON(w, http.StatusInsufficientStorage, failure{"ratings of too many products are held already"})
	default:
		writeJSON(w, http.StatusOK, bookRatings{id, given})
	}
}

func (v *ratings) keep(id int, given map[string]int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.posted[id]; !known && len(v.posted) >= maxProducts {
		return false
	}
	v.posted[id] = given
	return true
}

// load reads the store of ratings v2: one JSON object, stars by reviewer.
func load(file string) (map[string]int, error) {
	if file == "" {
		return nil, errors.New("could not connect to ratings store: RATINGS_FILE is not set; name a file that holds " +
			`{"Reviewer1": 5, "Reviewer2": 4}`)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("could not connect to ratings store: %w", err)
	}
	var given map[string]int
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, fmt.Errorf("could not load ratings from store %s: %w", file, err)
	}
	return given, nil
}

// health is how a call to ratings fares.
type health struct {
	unhealthy   bool          // health checks fail
	unavailable bool          // 503
	delay       time.Duration // before the answer
}

// healthOf gives the faults that versions of the well-known application have on purpose: v-faulty fails half of the
// calls, v-delayed delays half of them by 7 s, v-unavailable fails in every second minute, v-unhealthy fails with its
// health checks in every second quarter of an hour. Other versions have none. up is the time since the start, luck is
// in [0,1).
func healthOf(version string, up time.Duration, luck float64) health {
	switch version {
	case "v-faulty":
		return health{unavailable: luck < 0.5}
	case "v-delayed":
		if luck < 0.5 {
			return health{delay: 7 * time.Second}
		}
	case "v-unavailable":
		return health{unavailable: odd(up, time.Minute)}
	case "v-unhealthy":
		down := odd(up, 15*time.Minute)
		return health{unhealthy: down, unavailable: down}
	}
	return health{}
}

func odd(up, period time.Duration) bool { return up/period%2 == 1 }
