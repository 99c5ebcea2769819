package request_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/request"
)

func TestFormOfJSON(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       url.Values // nil is an error
	}{
		{"texts", `{"email":"ann@example.com","password":"four words & a =%"}`, url.Values{"email": {"ann@example.com"}, "password": {"four words & a =%"}}},
		{"a number as it is spelled", `{"code":1234567890123456789,"n":1e3}`, url.Values{"code": {"1234567890123456789"}, "n": {"1e3"}}},
		{"a boolean", `{"remember":true,"not":false}`, url.Values{"remember": {"true"}, "not": {"false"}}},
		{"null is not sent", `{"return_to":null}`, url.Values{}},
		{"nothing", `{}`, url.Values{}},
		{"a name twice", `{"password":"a","password":"b"}`, url.Values{"password": {"a", "b"}}},
		{"escapes", `{"a":"\u00e9\n"}`, url.Values{"a": {"é\n"}}},
		{"white space around", " {\"a\":\"b\"}\n", url.Values{"a": {"b"}}},
		{"an object inside", `{"a":{"b":"c"}}`, nil},
		{"a list inside", `{"a":["b"]}`, nil},
		{"a list", `["a"]`, nil},
		{"a text", `"a"`, nil},
		{"no body", "", nil},
		{"cut off", `{"a":"b"`, nil},
		{"more behind", `{"a":"b"}{"c":"d"}`, nil},
		{"a form", `a=b`, nil},
		{"no UTF-8", "{\"a\":\"\xff\"}", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/?from=the+address", strings.NewReader(c.body))
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			_ = r.ParseForm() // as an app's own middleware may
			got, err := request.FormOfJSON(r)
			if (err == nil) != (c.want != nil) {
				t.Fatalf("got %v", err)
			}
			if got.Header.Get("Accept") != "application/json" || r.Header.Get("Accept") != "" || r.Header.Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("got header %v from %v", got.Header, r.Header)
			}
			if err != nil {
				return
			}
			if err := got.ParseForm(); err != nil || !reflect.DeepEqual(got.PostForm, c.want) || got.Form.Get("from") != "the address" {
				t.Errorf("got %v and %v, %v, want %v", got.PostForm, got.Form, err, c.want)
			}
		})
	}
}

func TestFormOfJSONLeaves(t *testing.T) {
	form := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("a=b"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got, err := request.FormOfJSON(form); got != form || err != nil {
		t.Errorf("a form: got another request, %v", err)
	}
	page := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	page.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/html"}}
	if got, err := request.FormOfJSON(page); err != nil || got.Header.Get("Accept") != "text/html" {
		t.Errorf("who asks for a page: got %v, %v", got.Header, err)
	}
	large := httptest.NewRequest(http.MethodPost, "/", nil)
	large.Header.Set("Content-Type", "application/json")
	large.Body = http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(strings.NewReader(`{"a":"`+strings.Repeat("x", 100)+`"}`)), 50)
	_, err := request.FormOfJSON(large)
	if _, ok := errors.AsType[*http.MaxBytesError](err); !ok {
		t.Errorf("too large: got %v", err)
	}
}
