package docs

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// reference are the pages to look things up in. All others are guides, which are read
// from the beginning to the end.
var reference = []string{"decisions.md", "options.md", "performance.md", "promises.md", "schema.md", "troubleshooting.md"}

// TestShort holds that README.md has at most 150 lines and a guide 200, and that half of
// the sentences of each have at most 25 words.
func TestShort(t *testing.T) {
	held := 0
	for _, page := range docPages(t) {
		if slices.Contains(reference, path.Base(page)) {
			continue
		}
		held++
		most := 200
		if page == "README.md" {
			most = 150
		}
		text := read(t, filepath.Join(root, filepath.FromSlash(page)))
		if n := strings.Count(text, "\n"); n > most {
			t.Errorf("%s has %d lines, want at most %d: reasons belong to decisions.md", page, n, most)
		}
		if words := median(sentences(text)); words > 25 {
			t.Errorf("half of the sentences of %s have %d words or more, want at most 25", page, words)
		}
	}
	if held < 30 {
		t.Errorf("got %d guides; this test has looked at too little", held)
	}
}

var (
	notProse = regexp.MustCompile("(?s)```.*?```|<!--.*?-->")
	isWord   = regexp.MustCompile(`[\pL\pN'’-]+`)
	target   = regexp.MustCompile(`\]\([^)]*\)`)
	codeWord = regexp.MustCompile("`[^`]*`")
	newItem  = regexp.MustCompile(`(?m)^\s*([-*]|\d+\.) `)
	ends     = regexp.MustCompile(`[.!?]\**(\s|$)|\n\n`)
)

// sentences returns how many words each sentence has. Code, headings and tables have
// none, a name in code is one word, and a list's item begins a sentence.
func sentences(text string) (words []int) {
	var prose strings.Builder
	for line := range strings.Lines(newItem.ReplaceAllString(notProse.ReplaceAllString(text, ""), "\n\n")) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(strings.TrimSpace(line), "|") {
			line = "\n\n"
		}
		prose.WriteString(line)
	}
	for _, sentence := range ends.Split(codeWord.ReplaceAllString(target.ReplaceAllString(prose.String(), "]"), "x"), -1) {
		if n := len(isWord.FindAllString(sentence, -1)); n > 0 {
			words = append(words, n)
		}
	}
	return words
}

func median(of []int) int {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[len(of)/2]
}

// TestSentences holds how sentences are counted.
func TestSentences(t *testing.T) {
	got := sentences("# A heading of many words\n\nOne two `a b c`. Three\nfour [five](six.md)!\n\n- an item\n- another one\n\n| a | table |\n\n```go\ncode of go\n```\n")
	if want := []int{3, 3, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := median([]int{30, 1, 26}); got != 26 {
		t.Errorf("got the median %d", got)
	}
}
