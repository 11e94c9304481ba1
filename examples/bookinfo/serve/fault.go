package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// FaultFile breaks next while the file at path exists: every call but /health is answered with the status that the
// file holds (503 when it is empty or holds anything else). With it a test makes one running instance fail and recover
// without a way in past its proxy. An empty path changes nothing.
func FaultFile(path string, next http.Handler) http.Handler {
	if path == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, broken := fault(path)
		if !broken || r.URL.Path == "/health" {
			next.ServeHTTP(w, r)
			return
		}
		http.Error(w, fmt.Sprintf("this instance fails on request while %s exists", path), status)
	})
}

func fault(path string) (status int, broken bool) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false
	}
	status, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || status < 200 || status > 599 {
		return http.StatusServiceUnavailable, true
	}
	return status, true
}
