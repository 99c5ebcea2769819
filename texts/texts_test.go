package texts_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/walkin-go/walkin/texts"
)

// TestEveryLanguageIsWhole holds that no visitor reads a sentence of another language,
// or a placeholder that nothing fills in.
func TestEveryLanguageIsWhole(t *testing.T) {
	english := texts.English().Keys()
	if len(english) < 200 {
		t.Fatalf("English has %d texts; this test has looked at nothing", len(english))
	}
	for _, c := range texts.All() {
		t.Run(c.Language(), func(t *testing.T) {
			own := c.Keys()
			var file strings.Builder
			for key, text := range own {
				file.WriteString(key + " = " + text + "\n")
			}
			if _, err := texts.Parse(c.Language(), file.String()); err != nil {
				t.Error(err)
			}
			same := 0
			for key, text := range own {
				if text == english[key] && strings.ContainsFunc(strings.NewReplacer("{device}", "").Replace(text), unicode.IsLetter) {
					same++
				}
			}
			if most := 8; c.Language() != "en" && same > most {
				t.Errorf("%d texts are those of English, more than %d", same, most)
			}
		})
	}
}

// TestScripts holds that a text in Japanese, Chinese or Arabic has such letters in it,
// so that an English one that was copied there is found.
func TestScripts(t *testing.T) {
	for _, tt := range []struct {
		catalogue *texts.Catalogue
		scripts   []*unicode.RangeTable
	}{
		{texts.Japanese(), []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana}},
		{texts.Chinese(), []*unicode.RangeTable{unicode.Han}},
		{texts.Arabic(), []*unicode.RangeTable{unicode.Arabic}},
	} {
		for key, text := range tt.catalogue.Keys() {
			if key == "sessions.device" || key == "date.layout" {
				continue // no words
			}
			if !strings.ContainsFunc(text, func(c rune) bool { return unicode.In(c, tt.scripts...) }) {
				t.Errorf("%s, %s: %q has no letter of its language", tt.catalogue.Language(), key, text)
			}
		}
	}
}

func TestText(t *testing.T) {
	c := texts.German()
	for _, tt := range []struct {
		name, got, want string
	}{
		{"a text", c.Text("signin.title"), "Anmelden"},
		{"a placeholder", c.Text("password.short", "count", 8), "Bitte wählen Sie ein Passwort mit mindestens 8 Zeichen."},
		{"what is filled in is not looked at again", texts.English().Text("sessions.end_named", "device", "{date}", "date", "x"), "Sign out: {date}, x"},
		{"one", texts.English().Text("password.too_many", "minutes", 1), "There were too many failed attempts. Please wait a minute and try again."},
		{"two", texts.English().Text("password.too_many", "minutes", 2), "There were too many failed attempts. Please wait 2 minutes and try again."},
		{"no such key", c.Text("no.such"), "no.such"},
		{"a Text", c.Say(texts.Of("signin.provider", "provider", "Google")), "Weiter mit Google"},
		{"nil is English", (*texts.Catalogue)(nil).Text("signin.title"), "Sign in"},
		{"left to right", c.Direction(), "ltr"},
		{"right to left", texts.Arabic().Direction(), "rtl"},
		{"the tag", texts.Chinese().Language(), "zh-Hans"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}

// TestParse holds that a language of the app's own is refused with its first fault.
func TestParse(t *testing.T) {
	whole := func(change func(key, text string) string) string {
		var file strings.Builder
		for key, text := range texts.English().Keys() {
			file.WriteString(change(key, text))
		}
		return file.String()
	}
	line := func(key, text string) string { return key + " = " + text + "\n" }
	for _, tt := range []struct {
		name, file, says string
	}{
		{"whole", "# a comment\n\n" + whole(line), ""},
		{"a key is missing", whole(func(key, text string) string {
			if key == "signin.title" {
				return ""
			}
			return line(key, text)
		}), "signin.title"},
		{"one too many", whole(line) + "x.y = Z\n", "x.y"},
		{"twice", whole(line) + "signin.title = Z\n", "twice"},
		{"no text", whole(line) + "x.y\n", "line"},
		{"another placeholder", whole(func(key, text string) string { return line(key, strings.ReplaceAll(text, "{provider}", "{who}")) }), "placeholders"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := texts.Parse("it", tt.file)
			switch {
			case tt.says == "" && (err != nil || c.Text("signin.title") != "Sign in"):
				t.Errorf("got %v", err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("got %v, want an error with %q", err, tt.says)
			}
		})
	}
}

func TestWith(t *testing.T) {
	c, err := texts.English().With(map[string]string{"signin.title": "Log in"})
	if err != nil || c.Text("signin.title") != "Log in" || c.Text("signout.title") != "Sign out?" || texts.English().Text("signin.title") != "Sign in" {
		t.Errorf("got %v", err)
	}
	if _, err := c.With(map[string]string{"signin.titel": "Log in"}); err == nil {
		t.Error("a key that there is not was taken")
	}
	if _, err := c.With(map[string]string{"signin.provider": "Log in"}); err == nil {
		t.Error("a text without its placeholder was taken")
	}
}
