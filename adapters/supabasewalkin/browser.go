package supabasewalkin

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"strings"
)

// A link or a provider's answer that no verifier guards must end in the browser in
// which it began: otherwise an attacker has a victim open it, and gains their address
// or has them work in an account that is not theirs. That browser has a cookie where
// the page is of this very origin. It says nothing about who the user is. A page of
// another origin sends no cookies here, and needs PKCE, or codes that are typed in.

func (h *Handler) cookieName() string {
	if strings.HasPrefix(h.cfg.URL, "https://") {
		return "__Host-walkin-supabase"
	}
	return "walkin-supabase"
}

const cookieLength = 26 // of rand.Text

func (h *Handler) cookie(r *http.Request) string {
	cookies := r.CookiesNamed(h.cookieName())
	if len(cookies) != 1 || len(cookies[0].Value) != cookieLength {
		return "" // of two, one may have been planted
	}
	return cookies[0].Value
}

// bind marks the browser of a call, and returns the mark's hash.
func (h *Handler) bind(c *call) string {
	value := h.cookie(c.Request)
	if value == "" {
		value = rand.Text()
	}
	http.SetCookie(c.w, &http.Cookie{Name: h.cookieName(), Value: value, Path: "/", MaxAge: int(codeLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(h.cfg.URL, "https://")})
	return hashed("", value)
}

// isBound reports whether a call is from the browser with that mark.
func (h *Handler) isBound(c *call, mark string) bool {
	value := h.cookie(c.Request)
	return mark != "" && value != "" && subtle.ConstantTimeCompare([]byte(hashed("", value)), []byte(mark)) == 1
}
