package main

import (
	"io"
	"net/http"
)

// answer is what the application does that the suites' requests end at: it takes a body and answers with a short one.
func answer(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, "an answer of the application\n")
}
