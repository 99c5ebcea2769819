package texts_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/walkin-go/walkin/texts"
)

// Rooms whose words are not for visitors: tools, tests, and apps of their own.
var elsewhere = []string{"example", "bench", "cmd", "docs", "internal/release", "internal/tools", "internal/testserver", "internal/browser", "internal/enginetest",
	"internal/promises", "internal/mutants", "internal/writers", "walkintest", "store", "rls", "admin", "adapters", "texts", ".git", ".ci", "testdata"}

// sources calls a function with every file of the packages that visitors read.
func sources(t *testing.T, see func(path string)) {
	t.Helper()
	root := ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (slices.Contains(elsewhere, rel) || slices.Contains(elsewhere, d.Name()) || strings.HasPrefix(d.Name(), "node_modules")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			see(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func parseFile(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestEveryTextIsInTheCatalogue looks for what a visitor would read in English whatever
// their language: a message in a refusal, words in a template, words in HTML.
func TestEveryTextIsInTheCatalogue(t *testing.T) {
	templates, files := 0, 0
	sources(t, func(path string) {
		switch {
		case strings.HasSuffix(path, ".html"):
			templates++
			for _, words := range wordsOf(read(t, path)) {
				t.Errorf("%s says %q by itself; texts go through the catalogue", path, words)
			}
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "pages/preview.go"): // for developers
			files++
			lookAt(t, path, parseFile(t, path))
		}
	})
	if templates < 10 || files < 50 {
		t.Fatalf("%d templates and %d files; this test has looked at too little", templates, files)
	}
}

func lookAt(t *testing.T, path string, file *ast.File) {
	t.Helper()
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			key, ok := n.Key.(*ast.Ident)
			if !ok || key.Name != "Message" {
				return true
			}
			ast.Inspect(n.Value, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					t.Errorf("%s: a message is written out: %s", path, literal.Value)
				}
				return true
			})
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && strings.Contains(text, "<") && strings.Contains(text, ">") &&
				!strings.HasPrefix(text, "Config.") { // what New says
				for _, words := range wordsOf(text) {
					t.Errorf("%s: HTML says %q by itself; texts go through the catalogue", path, words)
				}
			}
		}
		return true
	})
}

var (
	action    = regexp.MustCompile(`(?s){{.*?}}`)
	hidden    = regexp.MustCompile(`(?s)<(style|script)[^>]*>.*?</(style|script)>|<!--.*?-->|<!doctype[^>]*>`)
	spoken    = regexp.MustCompile(`(?:aria-label|title|placeholder|alt|data-done|data-back|data-failed)="([^"]*)"`)
	tag       = regexp.MustCompile(`(?s)<[a-zA-Z/][^<>]*>|<[a-zA-Z/][^<>]*$|^[^<>]*>`)
	namesOnly = regexp.MustCompile(`^[\s·:().,|/-]*$`)
)

// wordsOf returns what a template or a piece of HTML says by itself: text between tags
// and in attributes that are read out.
func wordsOf(html string) (said []string) {
	html = action.ReplaceAllString(html, "")
	html = hidden.ReplaceAllString(html, "")
	for _, m := range spoken.FindAllStringSubmatch(html, -1) {
		if strings.ContainsFunc(m[1], unicode.IsLetter) {
			said = append(said, m[1])
		}
	}
	for text := range strings.SplitSeq(tag.ReplaceAllString(html, "\x00"), "\x00") {
		text = strings.TrimSpace(text)
		if !namesOnly.MatchString(text) && strings.ContainsFunc(text, unicode.IsLetter) {
			said = append(said, text)
		}
	}
	return said
}

func TestWordsOf(t *testing.T) {
	for _, tt := range []struct {
		name, html string
		want       []string
	}{
		{"words", `<p>Hello {{.X}}</p>`, []string{"Hello"}},
		{"none", `<p class="x">{{.T "a.b"}} · {{.Y}}</p>`, nil},
		{"an attribute", `<input aria-label="Name" value="a">`, []string{"Name"}},
		{"a style", `<style>p { color: red }</style>`, nil},
		{"half a tag", `<p lang="`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := wordsOf(tt.html); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

var keyLike = regexp.MustCompile(`"([a-z]+\.[a-z_]+)"`)

// TestKeys holds that every key which the code names is in the catalogue, and that
// every key of the catalogue is used.
func TestKeys(t *testing.T) {
	english := texts.English().Keys()
	groups := map[string]bool{}
	for key := range english {
		group, _, _ := strings.Cut(key, ".")
		groups[group] = true
	}
	used := map[string]bool{}
	sources(t, func(path string) {
		if !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".html") {
			return
		}
		for _, m := range keyLike.FindAllStringSubmatch(read(t, path), -1) {
			group, _, _ := strings.Cut(m[1], ".")
			switch _, ok := english[m[1]]; {
			case ok:
				used[m[1]] = true
			case groups[group] && !strings.HasSuffix(m[1], ".html") && !strings.HasSuffix(m[1], ".com") && !strings.HasSuffix(m[1], ".css") && !strings.HasSuffix(m[1], ".go"):
				t.Errorf("%s names the key %q, which there is not", path, m[1])
			}
		}
	})
	for key := range english {
		key = strings.TrimSuffix(key, ".one")
		if group, _, _ := strings.Cut(key, "."); !used[key] && group != "device" {
			t.Errorf("nothing uses the key %q", key)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
