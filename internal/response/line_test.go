package response

import (
	"net/http"
	"testing"
	"time"
)

// FuzzLine holds that a cookie's line is the one that net/http makes.
func FuzzLine(f *testing.F) {
	f.Add("__Host-walkin", "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln-_", "/", 60, false)
	f.Add("walkin", "", "/app", -1, false)
	f.Add("wal;kin", "x", "", 0, false)
	f.Add("walkin", "a b,c", "/", 0, true)
	f.Add("walkin", "a\nb", "/\x7f", 0, true)
	f.Fuzz(func(t *testing.T, name, value, path string, maxAge int, quoted bool) {
		c := &http.Cookie{Name: name, Value: value, Quoted: quoted, Path: path, MaxAge: maxAge, HttpOnly: true, Secure: maxAge > 0,
			SameSite: http.SameSiteLaxMode, Expires: time.Unix(int64(maxAge), 0)}
		if got, want := line(c), c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
