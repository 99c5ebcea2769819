package docs

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// wrong are words that no comment, message or page of ours has: they are not the terms of
// the field, or they say the opposite of what they mean to a reader who translates.
var wrong = regexp.MustCompile(`(?i)\b(nobody|nobody's|somebody|somebody's|superseded|settlements?|anew|unjudged|round trips?|dear|dearer|silence|` +
	`MintOnAct|ErrSuperseded|GuestID|DeleteAway)\b`)

// guest is right in a text that visitors read, and for them alone.
var guest = regexp.MustCompile(`(?i)\bguests?\b`)

// anAct is the noun. The verb is right, and so is the claim act (RFC 8693).
var anAct = regexp.MustCompile(`(?i)\b(an|the|this|that|each|every|first|their|its|one|no) acts?\b|\bacts of\b`)

// mayHave are the places that may have a word, each with its reason: by a part of the path
// and one of the line.
var mayHave = []struct{ path, line, why string }{
	{"CHANGELOG.md", "(were `Bind`", "tells what was renamed"},
	{"docs/users-table.md", "'Guest'", "a name that visitors see"},
	{"docs/users-table.md", "`guest-42@invalid`", "an address that an app makes up"},
	{"token_test.go", `"nobody"`, "the word of a table in the test"},
}

// TestWords holds that comments, messages and pages are without words that are wrong in
// every sentence. Of strings it looks at those with a blank: sentences.
func TestWords(t *testing.T) {
	looked := 0
	check := func(place, text string, visitors bool) {
		looked++
		for line := range strings.SplitSeq(text, "\n") {
			found := append(wrong.FindAllString(line, -1), anAct.FindAllString(line, -1)...)
			if !visitors {
				found = append(found, guest.FindAllString(line, -1)...)
			}
			for _, word := range found {
				if !slices.ContainsFunc(mayHave, func(m struct{ path, line, why string }) bool {
					return strings.Contains(place, m.path) && strings.Contains(line, m.line)
				}) {
					t.Errorf("%s: %q in %q", place, word, strings.TrimSpace(line))
				}
			}
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		place, _ := filepath.Rel(root, path)
		place = filepath.ToSlash(place)
		switch name := d.Name(); {
		case d.IsDir() && path != root && (name[0] == '.' || name == "node_modules" || name == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || name == "words_test.go":
		case strings.HasSuffix(name, ".md"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			check(place, string(text), false)
		case strings.HasSuffix(name, ".go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sayings(place, text, check)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if looked < 10_000 {
		t.Errorf("got %d comments and sentences; this test has looked at too little", looked)
	}
}

// sayings hands on the comments of a file and, unless it is a test, its sentences.
func sayings(place string, text []byte, check func(place, text string, visitors bool)) {
	files := token.NewFileSet()
	file := files.AddFile(place, -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, scanner.ScanComments)
	for {
		pos, kind, lit := s.Scan()
		at := place + ":" + strconv.Itoa(file.Line(pos))
		switch {
		case kind == token.EOF:
			return
		case kind == token.COMMENT:
			check(at, lit, false)
		case kind == token.STRING && !strings.HasSuffix(place, "_test.go") && strings.Contains(lit, " "):
			check(at, lit, true)
		}
	}
}
