package main

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// writeJSON answers with a value that can be encoded.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v)
}

// failure is the JSON that every service says what is wrong with.
type failure struct {
	Error string `json:"error"`
}

// healthy answers health checks of the services with a JSON health.
func healthy(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": text})
	}
}

// productID reads the id in the request's path; ok is false for what is not a number.
func productID(r *http.Request) (id int, ok bool) {
	id, err := strconv.Atoi(r.PathValue("id"))
	return id, err == nil && id >= 0
}
