package request_test

import (
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/walkin-go/walkin/internal/request"
)

// TestGiveBack holds what the request of code outside gets of the copy that handlers had.
func TestGiveBack(t *testing.T) {
	given := url.Values{"a": {"given"}}
	own := url.Values{"a": {"own"}}
	form := &multipart.Form{}
	for name, tt := range map[string]struct {
		to, from func(r *http.Request) // what was there before, and what handlers did
		want     func(r *http.Request) bool
	}{
		"nothing": {want: func(r *http.Request) bool {
			return r.Pattern == "" && r.Form == nil && r.PostForm == nil && r.MultipartForm == nil && r.Method == "POST" && r.URL.Path == "/a"
		}},
		"a pattern of ServeMux": {
			from: func(r *http.Request) {
				r.Pattern = "GET /notes/{id}/{rest...}"
				r.SetPathValue("id", "7")
				r.SetPathValue("rest", "x/y")
				r.SetPathValue("other", "z")
			},
			want: func(r *http.Request) bool {
				return r.Pattern == "GET /notes/{id}/{rest...}" && r.PathValue("id") == "7" && r.PathValue("rest") == "x/y" && r.PathValue("other") == ""
			},
		},
		"a pattern of chi": {
			from: func(r *http.Request) {
				r.Pattern = "/notes/{id:[0-9]+}/*"
				r.SetPathValue("id", "7")
				r.SetPathValue("*", "x/y")
			},
			want: func(r *http.Request) bool { return r.PathValue("id") == "7" && r.PathValue("*") == "x/y" },
		},
		"a pattern without a star": {
			from: func(r *http.Request) { r.Pattern = "/notes/"; r.SetPathValue("*", "x") },
			want: func(r *http.Request) bool { return r.PathValue("*") == "" && r.Pattern == "/notes/" },
		},
		"a pattern that is none": {
			from: func(r *http.Request) { r.Pattern = "/{id}/{broken"; r.SetPathValue("id", "7") },
			want: func(r *http.Request) bool { return r.PathValue("id") == "7" },
		},
		"the values of a pattern that went": {
			to:   func(r *http.Request) { r.Pattern = "/{id}"; r.SetPathValue("id", "7") },
			from: func(r *http.Request) { r.Pattern = ""; r.SetPathValue("id", "8") },
			want: func(r *http.Request) bool { return r.Pattern == "" && r.PathValue("id") == "8" },
		},
		"a form that was parsed": {
			from: func(r *http.Request) { r.Form, r.PostForm, r.MultipartForm = given, given, form },
			want: func(r *http.Request) bool {
				return r.Form.Get("a") == "given" && r.PostForm.Get("a") == "given" && r.MultipartForm == form
			},
		},
		"one that was parsed outside": {
			to:   func(r *http.Request) { r.Form, r.PostForm = own, own },
			from: func(r *http.Request) { r.Form, r.PostForm = given, given },
			want: func(r *http.Request) bool { return r.Form.Get("a") == "own" && r.PostForm.Get("a") == "own" },
		},
		"one that is outside only": {
			to:   func(r *http.Request) { r.Form, r.PostForm = own, own },
			from: func(r *http.Request) { r.Form, r.PostForm = nil, nil },
			want: func(r *http.Request) bool { return r.Form.Get("a") == "own" && r.PostForm.Get("a") == "own" },
		},
		"what was rewritten": {
			from: func(r *http.Request) {
				r.URL, r.Method, r.Host, r.RemoteAddr, r.RequestURI = &url.URL{Path: "/b"}, "PUT", "h", "192.0.2.9:1", "/b"
			},
			want: func(r *http.Request) bool {
				return r.URL.Path == "/b" && r.Method == "PUT" && r.Host == "h" && r.RemoteAddr == "192.0.2.9:1" && r.RequestURI == "/b"
			},
		},
	} {
		to := httptest.NewRequest(http.MethodPost, "/a", nil)
		if tt.to != nil {
			tt.to(to)
		}
		from := to.WithContext(t.Context())
		if tt.from != nil {
			tt.from(from)
		}
		request.GiveBack(to, from)
		if !tt.want(to) {
			t.Errorf("%s: got %+v", name, to)
		}
		request.GiveBack(to, to)
	}
}
