package providers_test

import (
	"bufio"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/internal/testserver"
)

// node starts oidc-provider, a certified implementation in another language. It
// is installed from npm's cache, or, where the test is required, from the
// registry; package-lock.json says what.
func node(t *testing.T) (issuer string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Missing(t, "node", program+" is not installed")
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "provider.mjs"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := func(more ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "npm", append([]string{"ci", "--ignore-scripts", "--no-audit", "--no-fund"}, more...)...)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	if _, err := install("--offline"); err != nil {
		if !slices.Contains(strings.Split(os.Getenv("WALKIN_TEST_REQUIRE"), ","), "node") {
			testserver.Missing(t, "node", "oidc-provider is not in npm's cache")
		}
		if out, err := install("--prefer-offline"); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "provider.mjs", base+"/auth/callback/query", base+"/auth/callback/posted")
	cmd.Dir = dir
	var log strings.Builder
	cmd.Stderr = &log
	stop, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop.Close()
		_ = cmd.Wait() // it was told to end
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "http://") {
			return lines.Text()
		}
	}
	_ = cmd.Wait()
	t.Fatalf("the provider did not start: %s", log.String())
	return ""
}

func TestNode(t *testing.T) {
	issuer := node(t)
	ann, bea := url.Values{"login": {"ann"}, "password": {"x"}}, url.Values{"login": {"bea"}, "password": {"x"}}
	for name, posts := range map[string]bool{"query": false, "posted": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, oidc.Provider{Name: name, Issuer: issuer, ClientID: name, ClientSecret: "secret", FormPost: posts, VerifiesEmail: true})
			s.walk(name, posts, ann, bea)
			if p := s.profiles[0]; p.Subject != "ann" || p.Email != "ann@example.com" || p.Name != "ann" {
				t.Errorf("got %+v", p)
			}

			// It remembers its users, and lets them through without a word.
			one := s.person(ann)
			one.prove(name)
			seen := one.seen
			one.prove(name)
			if one.seen != seen {
				t.Fatal("it asked again, so the rest tries nothing")
			}
			if r := one.Fetch("/danger"); r.StatusCode != http.StatusForbidden {
				t.Errorf("after a silent sign-in: got %d", r.StatusCode)
			}
			before := one.who()

			// A re-proof that was made silent is none.
			to := one.press(name, "reproof", "1")
			q := to.Query()
			q.Del("prompt")
			q.Del("max_age")
			to.RawQuery = q.Encode()
			one.wantRefused(one.comeBack(one.goThrough(to)), before, "oidc_not_fresh")

			one.prove(name, "reproof", "1")
			if one.seen == seen {
				t.Error("it did not ask again")
			}
			if r := one.Fetch("/danger"); r.StatusCode != http.StatusOK {
				t.Errorf("after a re-proof: got %d", r.StatusCode)
			}

			// A visitor who does not go on.
			quitter := s.person(bea)
			before = quitter.anonymous()
			quitter.cancels = true
			quitter.wantRefused(quitter.comeBack(quitter.goThrough(quitter.press(name))), before, "oidc_denied")
		})
	}
}
