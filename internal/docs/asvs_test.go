package docs

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// requirements are the numbers of ASVS 5.0 in the chapters that docs/asvs.md is about:
// how many each section has.
var requirements = map[string]int{
	"6.1": 3, "6.2": 12, "6.3": 8, "6.4": 6, "6.5": 8, "6.6": 3, "6.7": 2, "6.8": 3,
	"7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 3, "7.6": 2, "9.1": 3, "9.2": 4,
	"10.1": 2, "10.2": 3, "10.3": 5, "10.4": 6, "10.5": 5,
}

// TestASVSPage holds that docs/asvs.md has a verdict for each requirement: held names
// tests that exist, the app's names a page that exists, and not done says why.
func TestASVSPage(t *testing.T) {
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return cmp.Or(err, filepath.SkipDir)
		}
		if strings.HasSuffix(path, ".go") {
			for _, m := range declared.FindAllStringSubmatch(read(t, path), -1) {
				tests[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen, sections := map[string]bool{}, map[string]int{}
	row := regexp.MustCompile(`^\| (\d+\.\d+)\.(\d+) \| ([^|]+) \| ([^|]+) \| (.+) \|$`)
	for line := range strings.Lines(read(t, filepath.Join(root, "docs", "asvs.md"))) {
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		number, verdict, by := m[1]+"."+m[2], m[4], m[5]
		if seen[number] {
			t.Errorf("%s is there twice", number)
		}
		seen[number] = true
		sections[m[1]]++
		named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(by, -1)
		for _, n := range named {
			if !tests[n[1]] {
				t.Errorf("%s names %s, which does not exist", number, n[1])
			}
		}
		page := regexp.MustCompile(`\]\(([\w-]+\.md)`).FindStringSubmatch(by)
		switch verdict {
		case "held":
			if len(named) == 0 {
				t.Errorf("%s is held by no test", number)
			}
		case "the app's":
			if page == nil {
				t.Errorf("%s names no page", number)
			} else if _, err := os.Stat(filepath.Join(root, "docs", page[1])); err != nil {
				t.Errorf("%s: %v", number, err)
			}
		case "not done":
			if len(strings.Fields(by)) < 5 {
				t.Errorf("%s does not say why", number)
			}
		default:
			t.Errorf("%s has the verdict %q", number, verdict)
		}
	}
	for section, want := range requirements {
		if sections[section] != want {
			t.Errorf("%s: got %d requirements, want %d", section, sections[section], want)
		}
	}
	for section := range sections {
		if requirements[section] == 0 {
			t.Errorf("%s is no section of these chapters", section)
		}
	}
}
