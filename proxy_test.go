package walkin_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/memstore"
)

// What an app behind a proxy saw of a request.
type behindProxy struct {
	Addr netip.Addr
	Host string
	User bool
}

// TestProxies asks real proxies, with the settings that docs/bots.md has for them, whom
// a request is from: no client may choose that, and each keeps its address.
func TestProxies(t *testing.T) {
	page, err := os.ReadFile("docs/bots.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		name, title string
		settings    bool // there are some
	}{
		{"nginx", "nginx", true}, {"caddy", "Caddy", false}, {"haproxy", "HAProxy", true}, {"apache2", "Apache", true},
	} {
		t.Run(p.name, func(t *testing.T) {
			settings := ""
			if p.settings {
				settings = settingsOf(t, string(page), p.title)
			}
			app := newProxied(t)
			port := testserver.Proxy(t, p.name, settings, app, func(port string) bool {
				saw, err := askFrom("127.0.0.1", "127.0.0.1:"+port, "GET")
				return err == nil && saw.Addr.IsValid()
			})
			for _, want := range []string{"127.0.0.2", "::1"} {
				at := net.JoinHostPort("127.0.0.1", port)
				if want == "::1" {
					at = net.JoinHostPort(want, port)
				}
				for name, lines := range map[string][]string{
					"nothing":           nil,
					"an address":        {"X-Forwarded-For: 198.51.100.1"},
					"the proxy's":       {"X-Forwarded-For: 127.0.0.1"},
					"a list":            {"X-Forwarded-For: 198.51.100.1, 127.0.0.1"},
					"two lines":         {"X-Forwarded-For: 198.51.100.1", "x-forwarded-for: 127.0.0.1"},
					"garbage":           {"X-Forwarded-For: unknown, \"198.51.100.1"},
					"emptiness":         {"X-Forwarded-For:"},
					"an underscore":     {"X_Forwarded_For: 198.51.100.1"},
					"other headers":     {"X-Real-IP: 198.51.100.1", "Forwarded: for=198.51.100.1", "CF-Connecting-IP: 198.51.100.1", "True-Client-IP: 198.51.100.1"},
					"hop by hop":        {"Connection: close, X-Forwarded-For", "X-Forwarded-For: 198.51.100.1"},
					"hop by hop, alone": {"Connection: X-Forwarded-For"},
				} {
					saw, err := askFrom(want, at, "GET", lines...)
					if err != nil {
						if _, ok := err.(*net.OpError); ok && !errors.Is(err, syscall.ECONNREFUSED) {
							testserver.Missing(t, "loopback", fmt.Sprintf("the address %s: %v", want, err))
						}
						t.Fatal(err)
					}
					if saw.Addr.String() != want {
						t.Errorf("%s with %s: seen as %v", want, name, saw.Addr)
					}
				}
			}
			// A browser from before Fetch Metadata says by Origin alone that it
			// posts the site's own form.
			saw, err := askFrom("127.0.0.1", "127.0.0.1:"+port, "POST", "Origin: https://notes.example", "Content-Length: 0")
			if err != nil {
				t.Fatal(err)
			}
			if saw.Host != "notes.example" || !saw.User {
				t.Errorf("got host %q, and a user: %v", saw.Host, saw.User)
			}
		})
	}
}

// settingsOf returns the lines between fences that follow the bold title of a page.
func settingsOf(t *testing.T, page, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n**"+title+"**")
	_, rest, ok1 := strings.Cut(rest, "\n```")
	_, rest, _ = strings.Cut(rest, "\n") // the language
	lines, _, ok2 := strings.Cut(rest, "\n```\n")
	if !ok || !ok1 || !ok2 || strings.Contains(lines, "**") {
		t.Fatalf("docs/bots.md has no settings for %s", title)
	}
	return lines
}

// newProxied serves an app that says what it sees, and returns its address.
func newProxied(t *testing.T) string {
	t.Helper()
	secret := []byte("a secret of thirty-two bytes, 32")
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: secret}}, Store: memstore.New(),
		Proxies: walkin.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, user := walkin.FromContext(r.Context())
		_ = json.NewEncoder(w).Encode(behindProxy{wk.ClientAddr(r), r.Host, user})
	})))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// askFrom sends a request as it is written, from an address of this machine.
func askFrom(from, to, method string, lines ...string) (behindProxy, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		return behindProxy{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	lines = append([]string{method + " / HTTP/1.1", "Host: notes.example", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:78.0) Gecko/20100101 Firefox/78.0", "Accept: text/html"}, lines...)
	if _, err := fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		return behindProxy{}, fmt.Errorf("writing: %w", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return behindProxy{}, fmt.Errorf("reading: %w", err)
	}
	defer response.Body.Close()
	var saw behindProxy
	if response.StatusCode != http.StatusOK {
		return saw, fmt.Errorf("got %s", response.Status)
	}
	return saw, json.NewDecoder(response.Body).Decode(&saw)
}
