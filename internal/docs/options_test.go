package docs

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/options.md")

// options are the structs that apps fill in: by package folder, in the order of the page.
var options = []struct {
	dir, heading string
	structs      []string
}{
	{".", "walkin", []string{"Config", "Cookies", "FormerCookie", "Tokens", "Sessions", "NewUsers", "Proxies", "Paths", "Hooks", "Impersonation", "SweepOptions"}},
	{"store/sqlstore", "store/sqlstore", []string{"Config"}},
	{"store/redisstore", "store/redisstore", []string{"Config"}},
	{"credential/password", "credential/password", []string{"Config"}},
	{"credential/code", "credential/code", []string{"Config"}},
	{"credential/code/smtp", "credential/code/smtp", []string{"Config"}},
	{"credential/oidc", "credential/oidc", []string{"Config", "Provider"}},
	{"credential/passkey", "credential/passkey", []string{"Config"}},
	{"credential/totp", "credential/totp", []string{"Config"}},
	{"credential/handover", "credential/handover", []string{"Config"}},
	{"pages", "pages", []string{"Config"}},
	{"admin", "admin", []string{"Config"}},
	{"quota", "quota", []string{"Config"}},
	{"resume", "resume", []string{"Config"}},
	{"challenge", "challenge", []string{"Config"}},
	{"adapters/supabasewalkin", "adapters/supabasewalkin", []string{"Config"}},
}

// TestOptionsPage holds docs/options.md to the structs: every field, with the first
// sentence of its comment and what it says of the zero value.
//
//	go test -run TestOptionsPage -update ./internal/docs
func TestOptionsPage(t *testing.T) {
	var page strings.Builder
	page.WriteString("# Options\n\nEvery option of every package, from the comments in the source, which have the rest. A dash means that the zero value needs no word:\n" +
		"false is off, empty is none.\n\n<!-- written by go test -run TestOptionsPage -update ./internal/docs -->\n")
	fields := 0
	for _, group := range options {
		fmt.Fprintf(&page, "\n## %s\n", group.heading)
		found := structsIn(t, filepath.Join(root, filepath.FromSlash(group.dir)))
		for _, name := range group.structs {
			s := found[name]
			if s == nil {
				t.Fatalf("%s has no struct %s", group.dir, name)
			}
			if len(group.structs) > 1 {
				fmt.Fprintf(&page, "\n### %s\n", name)
			}
			page.WriteString("\n| option | what it does | zero |\n|---|---|---|\n")
			rows := rowsOf(s)
			for _, row := range rows {
				if row.what == "" {
					t.Errorf("%s.%s %s has no comment", group.dir, name, row.names)
				}
				fmt.Fprintf(&page, "| %s | %s | %s |\n", row.names, row.what, row.zero)
			}
			fields += len(rows)
		}
	}
	if fields < 120 {
		t.Errorf("got %d fields; this test has looked at too little", fields)
	}
	file := filepath.Join(root, "docs", "options.md")
	if *update {
		ok(t, os.WriteFile(file, []byte(page.String()), 0o644))
	}
	if read(t, file) != page.String() {
		t.Error("docs/options.md is not what the structs say; write it with -update")
	}
}

// A row is one field, or several that share a comment.
type row struct{ names, what, zero string }

func rowsOf(s *ast.StructType) (rows []row) {
	for _, field := range s.Fields.List {
		var names []string
		for _, n := range field.Names {
			if n.IsExported() {
				names = append(names, "`"+n.Name+"`")
			}
		}
		doc := field.Doc.Text()
		if doc == "" {
			doc = field.Comment.Text()
		}
		switch what, zero := meaning(doc); {
		case len(names) == 0:
		case what == "" && len(rows) > 0:
			rows[len(rows)-1].names += ", " + strings.Join(names, ", ")
		default:
			rows = append(rows, row{strings.Join(names, ", "), what, zero})
		}
	}
	return rows
}

var (
	sentenceEnd = regexp.MustCompile(`[.:] [A-Z-]|\.$`)
	ofZero      = regexp.MustCompile(`\b(Zero|zero|Nil|nil|Empty|empty|False|Required|required)\b|; 0 is|^0 is| when zero`)
	docLink     = regexp.MustCompile(`\[([\w.*]+)\]`)
)

// meaning returns the first sentence of a comment, and those about the zero value.
func meaning(doc string) (what, zero string) {
	doc = docLink.ReplaceAllString(strings.Join(strings.Fields(doc), " "), "$1")
	doc = strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(doc)
	var sentences []string
	for doc != "" {
		at := sentenceEnd.FindStringIndex(doc)
		if at == nil {
			sentences = append(sentences, strings.TrimSuffix(doc, "."))
			break
		}
		sentences = append(sentences, doc[:at[0]])
		doc = strings.TrimSpace(doc[at[0]+1:])
	}
	if len(sentences) == 0 {
		return "", ""
	}
	for _, s := range sentences[1:] {
		if ofZero.MatchString(s) {
			zero = strings.TrimSpace(zero + " " + s + ".")
		}
	}
	what = sentences[0]
	if zero == "" && ofZero.MatchString(what) {
		if before, after, cut := strings.Cut(what, "; "); cut && ofZero.MatchString(after) {
			what, zero = before, after
		}
	}
	if zero == "" {
		zero = "–"
	}
	return what, zero
}

func structsIn(t *testing.T, dir string) map[string]*ast.StructType {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	ok(t, err)
	found := map[string]*ast.StructType{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		ok(t, err)
		for node := range ast.Preorder(parsed) {
			if spec, is := node.(*ast.TypeSpec); is {
				if s, is := spec.Type.(*ast.StructType); is {
					found[spec.Name.Name] = s
				}
			}
		}
	}
	return found
}

// TestConfigInComments holds that the settings in the examples of package comments are
// fields of walkin.Config: no compiler reads them, and options have moved before.
func TestConfigInComments(t *testing.T) {
	fields := map[string]bool{}
	for _, field := range structsIn(t, root)["Config"].Fields.List {
		for _, name := range field.Names {
			fields[name.Name] = true
		}
	}
	looked := 0
	ok(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil // testdata of broken code
		}
		for _, comment := range f.Comments {
			for _, name := range settingsIn(comment.Text()) {
				looked++
				if !fields[name] {
					t.Errorf("%s: an example sets %s, which walkin.Config does not have", path, name)
				}
			}
		}
		return nil
	}))
	if looked < 4 {
		t.Errorf("got %d settings; this test has looked at too little", looked)
	}
}

var (
	openConfig = regexp.MustCompile(`\bwalkin\.Config\{`)
	setting    = regexp.MustCompile(`^[\s,]*(\w+):`)
)

// settingsIn returns the fields that text sets in each walkin.Config, and not in what is
// inside of it.
func settingsIn(text string) (names []string) {
	for _, at := range openConfig.FindAllStringIndex(text, -1) {
		depth, before := 1, true // before a field
		for i := at[1]; i < len(text) && depth > 0; i++ {
			if m := setting.FindStringSubmatch(text[i:]); depth == 1 && before && m != nil {
				names = append(names, m[1])
			}
			switch before = false; text[i] {
			case '{', '(':
				depth++
			case '}', ')':
				depth--
			case ',':
				before = true
			}
		}
	}
	return names
}
