package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/testserver"
)

// TestFromSupabasePage runs the JavaScript of docs/from-supabase.md with supabase-js in
// Node, against the Go above it.
func TestFromSupabasePage(t *testing.T) {
	node, forum := nodeOrSkip(t), filepath.Join(root, "example", "forum")
	if _, err := os.Stat(filepath.Join(forum, "node_modules", "@supabase", "supabase-js")); err != nil {
		install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
		install.Dir = forum
		if out, err := install.CombinedOutput(); err != nil {
			testserver.Missing(t, "node", "npm ci in example/forum: "+err.Error()+"\n"+string(out))
		}
	}
	origin, key, inbox := newSupabase(t)
	script := `
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
globalThis.WebSocket ??= class {} // for realtime, which Node 20 has not, and the page does not use
const { createClient } = createRequire(process.env.FORUM + '/')('@supabase/supabase-js')
const publishableKey = process.env.KEY, email = 'ann@example.com'
Object.defineProperty(globalThis, 'token', { get: () => readFileSync(process.env.INBOX, 'utf8') })
` + strings.Replace(codeOf(t, "docs/from-supabase.md", "js", "createClient"), "'https://example.com'", "'"+origin+"'", 1)
	// The user in between is that of the first answer.
	script = strings.Replace(script, "await supabase.auth.updateUser", "const before = (await supabase.auth.getUser()).data.user\nawait supabase.auth.updateUser", 1) + `
const after = (await supabase.auth.getUser()).data.user
if (before.id !== after.id || !before.is_anonymous || after.is_anonymous) throw new Error(JSON.stringify([before, after]))
console.log('same user')
process.exit(0)
`
	file := filepath.Join(t.TempDir(), "client.mjs")
	ok(t, os.WriteFile(file, []byte(script), 0o600))
	absolute, err := filepath.Abs(forum)
	ok(t, err)
	cmd := exec.CommandContext(t.Context(), node, file)
	cmd.Env = append(os.Environ(), "FORUM="+absolute, "KEY="+key, "INBOX="+inbox, "NODE_NO_WARNINGS=1")
	if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != "same user" {
		t.Errorf("%v\n%s", err, out)
	}
}
