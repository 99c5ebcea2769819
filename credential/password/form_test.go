package password_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
)

func TestForms(t *testing.T) {
	const (
		urlencoded = "application/x-www-form-urlencoded"
		multipart  = "multipart/form-data; boundary=b"
		good       = "email=ann%40example.com&password=correct+horse+battery"
		goodParts  = "--b\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nann@example.com\r\n" +
			"--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\ncorrect horse battery\r\n--b--\r\n"
	)
	parse := func(r *http.Request) { _ = r.ParseForm() }
	for _, tt := range []struct {
		name, contentType, body string
		before                  func(*http.Request)
		status                  int // 0: it is read
		reason                  walkin.Reason
	}{
		{name: "urlencoded", contentType: urlencoded, body: good},
		{name: "with a charset", contentType: urlencoded + "; charset=utf-8", body: good},
		{name: "parsed before", contentType: urlencoded, body: good, before: parse},
		{name: "multipart", contentType: multipart, body: goodParts},
		{name: "multipart, half parsed before", contentType: multipart, body: goodParts, before: parse},
		{name: "multipart, parsed before", contentType: multipart, body: goodParts,
			before: func(r *http.Request) { _ = r.ParseMultipartForm(1 << 20) }},
		{name: "more fields", contentType: urlencoded, body: good + "&return_to=/&return_to=/"},
		{name: "JSON", contentType: "application/json", body: "{}", status: 415, reason: "form_type"},
		{name: "no type", body: good, status: 415, reason: "form_type"},
		{name: "bad type", contentType: ";", body: good, status: 415, reason: "form_type"},
		{name: "JSON, parsed before", contentType: "application/json", body: "{}", before: parse, status: 415, reason: "form_type"},
		{name: "JSON, read by the app", contentType: "application/json", body: "{}",
			before: func(r *http.Request) { r.PostForm = url.Values{"email": {name}, "password": {secret}} }},
		{name: "JSON, read by the app, without a password", contentType: "application/json", body: "{}", status: 422, reason: "no_password",
			before: func(r *http.Request) { r.PostForm = url.Values{"email": {name}} }},
		{name: "a broken parameter", contentType: urlencoded + "; =", body: good, status: 415, reason: "form_type"},
		{name: "no boundary", contentType: "multipart/form-data", body: goodParts, status: 400, reason: "form_malformed"},
		{name: "half a part", contentType: multipart, body: goodParts[:60], status: 400, reason: "form_malformed"},
		{name: "bad escape", contentType: urlencoded, body: good + "%zz", status: 400, reason: "form_malformed"},
		{name: "two passwords", contentType: urlencoded, body: good + "&password=x", status: 400, reason: "form_repeated"},
		{name: "two names", contentType: urlencoded, body: good + "&email=x", status: 400, reason: "form_repeated"},
		{name: "too large", contentType: urlencoded, body: good + "&x=" + strings.Repeat("x", 64<<10), status: 413, reason: "form_large"},
		{name: "too large, multipart", contentType: multipart, status: 413, reason: "form_large",
			body: strings.Replace(goodParts, "battery", strings.Repeat("x", 64<<10), 1)},
		{name: "empty", contentType: urlencoded, status: 422, reason: "no_name"},
		{name: "no password", contentType: urlencoded, body: "email=ann", status: 422, reason: "no_password"},
		{name: "in the URL", contentType: urlencoded, status: 422, reason: "no_name",
			before: func(r *http.Request) { r.URL.RawQuery = good }},
		{name: "no body at all", contentType: urlencoded, status: 400, reason: "form_malformed",
			before: func(r *http.Request) { r.Body = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, nil)
			r := post(t, tt.contentType, tt.body)
			if tt.before != nil {
				tt.before(r)
			}
			proof, err := s.SignUp(r)
			if tt.status != 0 {
				refusal(t, err, tt.status, tt.reason)
			} else if err != nil || proof.Subject != name {
				t.Errorf("got %q, %v", proof.Subject, err)
			}
			if n := s.hashes.Load(); (n == 1) != (tt.status == 0) {
				t.Errorf("hashed %d times", n)
			}
		})
	}
}

func TestFieldNames(t *testing.T) {
	s := newSite(t, func(cfg *password.Config) { cfg.NameField, cfg.PasswordField = "user", "pass" })
	proof, err := s.SignUp(post(t, "application/x-www-form-urlencoded", "user=ann&pass=correct+horse&email=x&email=y"))
	if err != nil || proof.Subject != "ann" {
		t.Errorf("got %q, %v", proof.Subject, err)
	}
}
