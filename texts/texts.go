// Package texts has every text of walkin that a visitor can read, in eight languages:
// refusals, pages, mail, and what scripts say. It imports nothing, and a language
// that an app does not name is not in its binary.
//
//	german := texts.German()
//	german.Text("code.lead", "email", "ann@example.com")
//
// walkin.Config.Texts chooses the language of a request; package pages has a function
// for it that follows the browser's settings. To use other words, take a catalogue and
// change some with [Catalogue.With]. For another language, write a file like the ones
// here and call [Parse].
//
// A text is plain, not HTML: escape it, together with what was filled in, when you put
// it into HTML.
package texts

import (
	_ "embed"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// A Catalogue has the texts of one language by key. It never changes, and may be used
// concurrently. The nil Catalogue is English.
type Catalogue struct {
	tag   string
	texts map[string]string
}

// A Text is a text in no language yet: a key, and what goes into its placeholders. Two
// Texts are equal when they say the same.
type Text struct {
	Key  string
	args string // names and values, each with a NUL at its end
}

// Of returns a Text. The arguments are pairs of a placeholder's name and its value.
func Of(key string, args ...any) Text {
	t := Text{Key: key}
	for _, arg := range args {
		t.args += strings.ReplaceAll(fmt.Sprint(arg), "\x00", "") + "\x00"
	}
	return t
}

// Minutes returns how many minutes to tell a visitor who has to wait: one at least.
func Minutes(wait time.Duration) int {
	return max(int((wait+time.Minute-1)/time.Minute), 1)
}

var (
	//go:embed en.txt
	en string
	//go:embed de.txt
	de string
	//go:embed fr.txt
	fr string
	//go:embed es.txt
	es string
	//go:embed pt.txt
	pt string
	//go:embed ja.txt
	ja string
	//go:embed zh-Hans.txt
	zh string
	//go:embed ar.txt
	ar string
)

// english is read once: walkin itself speaks it where nothing chooses a language. The
// others are read where they are asked for, so that the linker drops those that are not.
var english = sync.OnceValue(func() *Catalogue { return must("en", en) })

// The available languages. Except for English, each call reads the catalogue again:
// keep what it returns.

func English() *Catalogue    { return english() }
func German() *Catalogue     { return must("de", de) }
func French() *Catalogue     { return must("fr", fr) }
func Spanish() *Catalogue    { return must("es", es) }
func Portuguese() *Catalogue { return must("pt", pt) }
func Japanese() *Catalogue   { return must("ja", ja) }
func Chinese() *Catalogue    { return must("zh-Hans", zh) } // simplified
func Arabic() *Catalogue     { return must("ar", ar) }

// All returns every language, English first.
func All() []*Catalogue {
	return []*Catalogue{English(), German(), French(), Spanish(), Portuguese(), Japanese(), Chinese(), Arabic()}
}

func must(tag, file string) *Catalogue {
	texts, err := read(file)
	if err != nil {
		return &Catalogue{tag, nil} // a test reads every file of ours
	}
	return &Catalogue{tag, texts}
}

// Parse reads a catalogue of another language, named by a BCP 47 tag such as "it". A
// line is a key, " = " and the text. Empty lines and those that begin with # are
// comments. A key that ends in ".one" is for the number 1, if the language needs it.
// Parse returns an error that names a key of English that is missing, one that English
// does not have, and a text with other placeholders.
func Parse(tag, file string) (*Catalogue, error) {
	texts, err := read(file)
	if err != nil {
		return nil, err
	}
	c := &Catalogue{tag, texts}
	if err := c.check(English()); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Catalogue) check(english *Catalogue) error {
	for key := range c.texts {
		if _, ok := english.texts[strings.TrimSuffix(key, one)]; !ok {
			return fmt.Errorf("walkin: texts: %s has the key %q, which there is not", c.tag, key)
		}
	}
	for key, text := range english.texts {
		if strings.HasSuffix(key, one) {
			continue // not every language needs it
		}
		own, ok := c.texts[key]
		if !ok {
			return fmt.Errorf("walkin: texts: %s lacks the key %q", c.tag, key)
		}
		if err := samePlaceholders(own, text); err != nil {
			return fmt.Errorf("walkin: texts: %s, %q: %w", c.tag, key, err)
		}
	}
	return nil
}

func read(file string) (map[string]string, error) {
	texts := map[string]string{}
	line := 0
	for text := range strings.SplitSeq(strings.TrimPrefix(file, "\ufeff"), "\n") {
		line++
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(text, " = ")
		if _, twice := texts[key]; !ok || twice || value == "" {
			return nil, fmt.Errorf("walkin: texts: line %d is not a key, \" = \" and a text, or its key is there twice", line)
		}
		texts[key] = value
	}
	return texts, nil
}

// one ends the key of a text for the number 1, where a language needs another.
const one = ".one"

// placeholders returns the names in braces.
func placeholders(text string) map[string]bool {
	names := map[string]bool{}
	for {
		_, rest, ok := strings.Cut(text, "{")
		if !ok {
			return names
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return names
		}
		names[name], text = true, after
	}
}

func samePlaceholders(a, b string) error {
	if !maps.Equal(placeholders(a), placeholders(b)) {
		return fmt.Errorf("%q has other placeholders than %q", a, b)
	}
	return nil
}

// With returns a catalogue with some other texts, by key. It returns an error for an
// unknown key, and for a text with other placeholders.
func (c *Catalogue) With(own map[string]string) (*Catalogue, error) {
	if c == nil {
		c = English()
	}
	changed := &Catalogue{c.tag, maps.Clone(c.texts)}
	for key, text := range own {
		before, ok := c.texts[key]
		if !ok {
			return nil, fmt.Errorf("walkin: texts: there is no key %q", key)
		}
		if err := samePlaceholders(text, before); err != nil {
			return nil, fmt.Errorf("walkin: texts: %q: %w", key, err)
		}
		changed.texts[key] = text
	}
	return changed, nil
}

// Language returns the language as a BCP 47 tag, for the attribute lang.
func (c *Catalogue) Language() string {
	if c == nil {
		return "en"
	}
	return c.tag
}

// Direction returns "ltr" or "rtl", for the attribute dir.
func (c *Catalogue) Direction() string {
	language, _, _ := strings.Cut(c.Language(), "-")
	switch language {
	case "ar", "fa", "he", "ur":
		return "rtl"
	}
	return "ltr"
}

// Text returns the text of a key, with placeholders filled in from pairs of name and
// value. An unknown key is returned as it is.
func (c *Catalogue) Text(key string, args ...any) string {
	if c == nil {
		c = English()
	}
	text, ok := c.texts[key]
	if !ok {
		return key
	}
	if len(args) == 2 && fmt.Sprint(args[1]) == "1" {
		if single, ok := c.texts[key+one]; ok {
			text = single
		}
	}
	if len(args) == 0 {
		return text
	}
	var pairs []string
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, "{"+fmt.Sprint(args[i])+"}", fmt.Sprint(args[i+1]))
	}
	// In one pass: what was filled in is not looked at for placeholders.
	return strings.NewReplacer(pairs...).Replace(text)
}

// Say returns a Text in the catalogue's language.
func (c *Catalogue) Say(t Text) string {
	var args []any
	for arg := range strings.SplitSeq(strings.TrimSuffix(t.args, "\x00"), "\x00") {
		args = append(args, arg)
	}
	return c.Text(t.Key, args...)
}

// Keys returns every key and its text, with the placeholders as they are.
func (c *Catalogue) Keys() map[string]string {
	if c == nil {
		c = English()
	}
	return maps.Clone(c.texts)
}
