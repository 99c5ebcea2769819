package walkin_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
)

// TestSetUpFaults holds that an error which only requests can show is one event and one
// warning that names the setting, and that without one there is no warning.
func TestSetUpFaults(t *testing.T) {
	const safari = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15"
	const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
	at := func(host string, header ...string) func(*site) *http.Request {
		return func(s *site) *http.Request {
			r := with(with(s.navigation("/"), noSFS...), header...)
			r.Host = host
			return r
		}
	}
	insecure := func(c *walkin.Config) { c.Cookies.Insecure = true }
	for _, tt := range []struct {
		name    string
		config  func(*walkin.Config)
		request func(*site) *http.Request
		reason  string
		setting string
	}{
		{"a LAN name", nil, at("box.lan:8080", "Referer", "http://box.lan:8080/a"), "secure_cookie_over_http", "Config.Cookies.Insecure"},
		{"a LAN name, insecure", insecure, at("box.lan:8080", "Referer", "http://box.lan:8080/a"), "", ""},
		{"an address", nil, at("192.168.0.5", "Referer", "http://192.168.0.5/"), "secure_cookie_over_http", "Config.Cookies.Insecure"},
		{"the first page", nil, at("box.lan:8080"), "", ""},
		{"https", nil, at("app.example", "Referer", "https://app.example/"), "", ""},
		{"from a page elsewhere", nil, at("app.example", "Referer", "http://elsewhere.example/"), "", ""},
		{"from a page that is no address", nil, at("box.lan:8080", "Referer", "http://box.lan:80%zz/"), "", ""},
		{"with a cookie", nil, at("box.lan", "Referer", "http://box.lan/", "Cookie", anonName+"=x"), "", ""},
		{"localhost in Chromium", nil, at("localhost:8080", "Referer", "http://localhost:8080/", "User-Agent", chrome), "", ""},
		{"below localhost in Chromium", nil, at("app.localhost:8080", "Referer", "http://app.localhost:8080/", "User-Agent", chrome), "", ""},
		{"127.0.0.1 in Chromium", nil, at("127.0.0.1:8080", "Referer", "http://127.0.0.1:8080/", "User-Agent", chrome), "", ""},
		{"localhost in WebKit", nil, at("localhost:8080", "Referer", "http://localhost:8080/", "User-Agent", safari), "secure_cookie_over_http", "Config.Cookies.Insecure"},
		{"127.0.0.1 in WebKit", nil, at("127.0.0.1:8080", "Referer", "http://127.0.0.1:8080/", "User-Agent", safari), "secure_cookie_over_http", "Config.Cookies.Insecure"},
		{"a form over http", nil, func(s *site) *http.Request {
			r := with(with(s.form("/", nil), noSFS...), "Origin", "http://box.lan")
			r.Host = "box.lan"
			return r
		}, "secure_cookie_over_http", "Config.Cookies.Insecure"},
		{"no address", nil, func(s *site) *http.Request {
			r := s.form("/", nil)
			r.RemoteAddr = ""
			return r
		}, "no_client_address", "http.Request.RemoteAddr"},
		{"an address that makes none", nil, func(s *site) *http.Request {
			r := s.form("/", nil)
			r.RemoteAddr = "@"
			return r
		}, "no_client_address", "http.Request.RemoteAddr"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			s := newSite(t, func(c *walkin.Config) {
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
				if tt.config != nil {
					tt.config(c)
				}
			})
			log.Reset()
			c := s.browser(who)
			for range 3 {
				if _, err := c.Serve(tt.request(s)); err != nil {
					t.Fatal(err)
				}
			}
			var reasons []string
			for _, e := range s.told() {
				if e.Outcome == walkin.Failed {
					reasons = append(reasons, string(e.Reason))
				}
			}
			if got := strings.Join(reasons, " "); got != tt.reason {
				t.Errorf("got events %q, want one: %q", got, tt.reason)
			}
			if got := strings.Count(log.String(), tt.setting); tt.setting != "" && got != 1 || tt.setting == "" && log.Len() > 0 {
				t.Errorf("got the log %q, want %q in it once", &log, tt.setting)
			}
		})
	}
}
