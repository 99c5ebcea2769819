package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	scsmem "github.com/alexedwards/scs/v2/memstore"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/gorilla/sessions"
)

const lifetime = 30 * 24 * time.Hour

// peers are the same site with other libraries, which give their visitors an ID in a
// cookie and read it.
func peers() []*site {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	wrapped := func(name string, wrap func(http.Handler) http.Handler) *site {
		s, _ := newSite(name, nil) // which fails with a store alone
		s.Handler, s.peer = wrap(s.Handler), true
		return s
	}
	return []*site{
		wrapped("golang-jwt by hand, no session", func(next http.Handler) http.Handler { return withJWT(secret, next) }),
		wrapped("scs, in memory", withSCS),
		wrapped("gorilla/sessions, no session", func(next http.Handler) http.Handler { return withGorilla(secret, next) }),
	}
}

type userKey struct{}

func withJWT(secret []byte, next http.Handler) http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	find := func(*jwt.Token) (any, error) { return secret, nil }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims := new(jwt.RegisteredClaims)
		if cookie, err := r.Cookie("session"); err == nil {
			if _, err := parser.ParseWithClaims(cookie.Value, claims, find); err != nil {
				http.Error(w, "no user", http.StatusUnauthorized)
				return
			}
		} else {
			now := time.Now()
			claims = &jwt.RegisteredClaims{Subject: uuid.NewString(), IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime))}
			text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
			if err != nil {
				http.Error(w, "no token", http.StatusInternalServerError)
				return
			}
			http.SetCookie(w, &http.Cookie{Name: "session", Value: text, Path: "/", MaxAge: int(lifetime.Seconds()), HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
			w.Header().Set("Cache-Control", "private, no-store")
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, claims.Subject)))
	})
}

func withSCS(next http.Handler) http.Handler {
	sm := scs.New()
	sm.Store, sm.Lifetime = scsmem.NewWithCleanupInterval(0), lifetime
	return sm.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sm.GetString(r.Context(), "user") == "" {
			sm.Put(r.Context(), "user", uuid.NewString())
		}
		next.ServeHTTP(w, r)
	}))
}

func withGorilla(secret []byte, next http.Handler) http.Handler {
	store := sessions.NewCookieStore(secret)
	store.MaxAge(int(lifetime.Seconds()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := store.Get(r, "session")
		if err == nil && s.IsNew {
			s.Values["user"] = uuid.NewString()
			err = s.Save(r, w)
		}
		if err != nil {
			http.Error(w, "no session", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
}
