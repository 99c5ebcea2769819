package bench_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	jwtmiddleware "github.com/auth0/go-jwt-middleware/v2"
	"github.com/auth0/go-jwt-middleware/v2/validator"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	ginjwt "github.com/appleboy/gin-jwt/v2"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/jwtauth/v5"
	jwt4 "github.com/golang-jwt/jwt/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/gorilla/sessions"
	echojwt "github.com/labstack/echo-jwt/v4"
	"github.com/labstack/echo/v4"
	"github.com/lestrrat-go/jwx/v2/jwa"
	jwxjwt "github.com/lestrrat-go/jwx/v2/jwt"
)

var peers = []peer{
	{name: "jwtauth", returning: jwtauthReturning, first: jwtauthFirst},
	{name: "echo-jwt", returning: echoReturning},
	{name: "gin-jwt", returning: ginReturning, first: ginFirst},
	{name: "auth0", returning: auth0Returning},
	{name: "golang-jwt", returning: golangReturning, first: golangFirst},
	{name: "jwx", returning: jwxReturning, first: jwxFirst},
	{name: "scs", session: scsHandler},
	{name: "gorilla", session: gorillaHandler, changes: true},
}

// claimsOf returns the claims of a new visitor, as walkin's own token has them.
func claimsOf() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": "walkin", "aud": "walkin", "sub": newUser(), "session_id": uuid.NewString(),
		"iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
		"role": "authenticated", "is_anonymous": true, "prov": true,
		"amr": []map[string]any{{"method": "anonymous", "timestamp": now.Unix()}},
	}
}

const lifetime = 30 * 24 * time.Hour

func newUser() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err)
	}
	return id.String()
}

func setCookie(w http.ResponseWriter, token string) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: token, Path: "/", MaxAge: int(lifetime.Seconds()), Expires: time.Now().Add(lifetime),
		HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
	})
	w.Header().Set("Cache-Control", "private, no-store")
	w.Header().Add("Vary", "Cookie")
}

// --- go-chi/jwtauth

func jwtauthReturning(_ testing.TB, k key) http.Handler {
	ja := jwtauth.New(k.alg, k.sign(), k.verify(), jwxjwt.WithIssuer("walkin"), jwxjwt.WithAudience("walkin"))
	find := func(r *http.Request) string {
		c, err := r.Cookie(cookieName)
		if err != nil {
			return ""
		}
		return c.Value
	}
	return jwtauth.Verify(ja, find)(jwtauth.Authenticator(ja)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _, err := jwtauth.FromContext(r.Context())
		answer(w, err == nil && token.Subject() != "")
	})))
}

func jwtauthFirst(_ testing.TB, k key) http.Handler {
	ja := jwtauth.New(k.alg, k.sign(), k.verify())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, token, err := ja.Encode(claimsOf())
		if err == nil {
			setCookie(w, token)
		}
		answer(w, err == nil)
	})
}

// --- labstack/echo-jwt

func echoReturning(_ testing.TB, k key) http.Handler {
	e := echo.New()
	e.Use(echojwt.WithConfig(echojwt.Config{
		SigningKey: k.verify(), SigningMethod: k.alg, TokenLookup: "cookie:" + cookieName,
	}))
	e.GET("/", func(c echo.Context) error {
		token, ok := c.Get("user").(*jwt.Token)
		if ok {
			subject, err := token.Claims.GetSubject()
			ok = err == nil && subject != ""
		}
		answer(c.Response(), ok)
		return nil
	})
	return e
}

// --- appleboy/gin-jwt

func newGin(tb testing.TB, k key) *ginjwt.GinJWTMiddleware {
	mw := &ginjwt.GinJWTMiddleware{
		Realm: "walkin", Key: k.secret, SigningAlgorithm: k.alg, IdentityKey: "sub",
		Timeout: lifetime, TokenLookup: "cookie:" + cookieName,
		PayloadFunc: func(data any) ginjwt.MapClaims { return data.(map[string]any) },
	}
	if k.private != nil {
		mw.KeyFunc = func(*jwt4.Token) (any, error) { return k.verify(), nil }
	}
	mw, err := ginjwt.New(mw)
	if err != nil {
		tb.Fatal(err)
	}
	return mw
}

func newEngine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	return gin.New()
}

func ginReturning(tb testing.TB, k key) http.Handler {
	mw := newGin(tb, k)
	g := newEngine()
	g.Use(mw.MiddlewareFunc())
	g.GET("/", func(c *gin.Context) {
		subject, ok := ginjwt.ExtractClaims(c)["sub"].(string)
		if ok && subject != "" {
			c.Status(http.StatusNoContent)
		}
		c.Writer.WriteHeaderNow()
	})
	return g
}

func ginFirst(tb testing.TB, k key) http.Handler {
	if k.private != nil {
		return nil // its signing keys are files of RSA keys
	}
	mw := newGin(tb, k)
	g := newEngine()
	g.GET("/", func(c *gin.Context) {
		token, _, err := mw.TokenGenerator(claimsOf())
		if err == nil {
			setCookie(c.Writer, token)
			c.Status(http.StatusNoContent)
		}
		c.Writer.WriteHeaderNow()
	})
	return g
}

// --- auth0/go-jwt-middleware

func auth0Returning(tb testing.TB, k key) http.Handler {
	v, err := validator.New(
		func(context.Context) (any, error) { return k.verify(), nil },
		validator.SignatureAlgorithm(k.alg), "walkin", []string{"walkin"})
	if err != nil {
		tb.Fatal(err)
	}
	mw := jwtmiddleware.New(v.ValidateToken,
		jwtmiddleware.WithTokenExtractor(jwtmiddleware.CookieTokenExtractor(cookieName)))
	return mw.CheckJWT(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(jwtmiddleware.ContextKey{}).(*validator.ValidatedClaims)
		answer(w, ok && c.RegisteredClaims.Subject != "")
	}))
}

// --- golang-jwt by hand

type handClaims struct {
	jwt.RegisteredClaims
	SessionID string    `json:"session_id"`
	Role      string    `json:"role"`
	Anonymous bool      `json:"is_anonymous"`
	AMR       []bareAMR `json:"amr"`
	Prov      bool      `json:"prov"`
}

type handKey struct{}

func golangReturning(_ testing.TB, k key) http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{k.alg}), jwt.WithExpirationRequired(),
		jwt.WithIssuer("walkin"), jwt.WithAudience("walkin"))
	public := k.verify()
	find := func(*jwt.Token) (any, error) { return public, nil }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(cookieName)
		if err != nil {
			answer(w, false)
			return
		}
		claims := new(handClaims)
		if _, err := parser.ParseWithClaims(cookie.Value, claims, find); err != nil {
			answer(w, false)
			return
		}
		handPage.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, claims)))
	})
}

var handPage http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(handKey{}).(*handClaims)
	answer(w, ok && c.Subject != "")
})

func golangFirst(_ testing.TB, k key) http.Handler {
	method := jwt.GetSigningMethod(k.alg)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		token, err := jwt.NewWithClaims(method, &handClaims{
			RegisteredClaims: jwt.RegisteredClaims{
				Issuer: "walkin", Audience: jwt.ClaimStrings{"walkin"}, Subject: newUser(),
				IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
			},
			SessionID: uuid.NewString(), Role: "authenticated", Anonymous: true, Prov: true,
			AMR: []bareAMR{{"anonymous", now.Unix()}},
		}).SignedString(k.sign())
		if err == nil {
			setCookie(w, token)
		}
		answer(w, err == nil)
	})
}

// --- jwx by hand

func jwxReturning(_ testing.TB, k key) http.Handler {
	verify := jwxjwt.WithKey(jwa.SignatureAlgorithm(k.alg), k.verify())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(cookieName)
		if err != nil {
			answer(w, false)
			return
		}
		token, err := jwxjwt.ParseString(cookie.Value, verify,
			jwxjwt.WithIssuer("walkin"), jwxjwt.WithAudience("walkin"), jwxjwt.WithRequiredClaim("exp"))
		if err != nil {
			answer(w, false)
			return
		}
		jwxPage.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, token)))
	})
}

var jwxPage http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	token, ok := r.Context().Value(handKey{}).(jwxjwt.Token)
	answer(w, ok && token.Subject() != "")
})

func jwxFirst(_ testing.TB, k key) http.Handler {
	sign := jwxjwt.WithKey(jwa.SignatureAlgorithm(k.alg), k.sign())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := jwxjwt.New()
		var err error
		for name, value := range claimsOf() {
			if err = token.Set(name, value); err != nil {
				break
			}
		}
		var text []byte
		if err == nil {
			text, err = jwxjwt.Sign(token, sign)
		}
		if err == nil {
			setCookie(w, string(text))
		}
		answer(w, err == nil)
	})
}

// --- alexedwards/scs with its store in memory: no JWT, the visitor is a row

func scsHandler(tb testing.TB) (string, http.Handler) {
	sm := scs.New()
	sm.Store = memstore.NewWithCleanupInterval(0)
	sm.Lifetime = lifetime
	h := sm.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sm.GetString(r.Context(), "user") == "" {
			sm.Put(r.Context(), "user", newUser())
		}
		answer(w, true)
	}))
	return cookieFrom(tb, h), h
}

// --- gorilla/sessions with its cookie store: signed, not a JWT

func gorillaHandler(tb testing.TB) (string, http.Handler) {
	store := sessions.NewCookieStore(keys()["HS256"].secret)
	store.MaxAge(int(lifetime.Seconds()))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := store.Get(r, "session")
		if err == nil && s.IsNew {
			s.Values["user"] = newUser()
			err = s.Save(r, w)
		}
		user, ok := s.Values["user"].(string)
		answer(w, err == nil && ok && user != "")
	})
	return cookieFrom(tb, h), h
}

func cookieFrom(tb testing.TB, h http.Handler) string {
	tb.Helper()
	w := newSink()
	h.ServeHTTP(w, newRequest(""))
	for _, c := range (&http.Response{Header: w.header}).Cookies() {
		return withTheme(c.Name, c.Value)
	}
	tb.Fatal("a first visit brought no cookie")
	return ""
}
