package main

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// sessionCookie holds the name of who is logged in. The shop checks no password, so nothing is gained by signing it.
const sessionCookie = "session"

const maxUser = 64

// login takes any name with any password, and goes back to the page it was called from.
func (p *productpage) login(w http.ResponseWriter, r *http.Request) {
	user := r.PostFormValue("username")
	if !validUser(user) {
		http.Error(w, "log in with a username of 1 to 64 printable ASCII characters", http.StatusBadRequest)
		return
	}
	setSession(w, base64.RawURLEncoding.EncodeToString([]byte(user)), 0)
	http.Redirect(w, r, backTo(r), http.StatusFound)
}

func (p *productpage) logout(w http.ResponseWriter, r *http.Request) {
	setSession(w, "", -1)
	http.Redirect(w, r, backTo(r), http.StatusFound)
}

func setSession(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// userOf returns who is logged in; empty: nobody.
func userOf(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	user, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || !validUser(string(user)) {
		return ""
	}
	return string(user)
}

// validUser holds for names that can travel in the end-user header as they are.
func validUser(user string) bool {
	if user == "" || len(user) > maxUser || strings.TrimSpace(user) != user {
		return false
	}
	return strings.IndexFunc(user, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}

// backTo returns the page that the request came from, always on this site.
func backTo(r *http.Request) string {
	from, err := url.Parse(r.Referer())
	if err != nil || !strings.HasPrefix(from.Path, "/") || strings.HasPrefix(from.Path, "//") || strings.Contains(from.Path, `\`) {
		return "/productpage"
	}
	return (&url.URL{Path: from.Path, RawQuery: from.RawQuery}).String()
}
