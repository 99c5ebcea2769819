package token_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/internal/token"
)

// somePayloads are claims of every shape.
func somePayloads() []token.Claims {
	at := time.Unix(1_795_000_000, 0)
	var all []token.Claims
	for _, app := range []string{"", `{}`, `{"plan":"pro","n":[1,2.5,null],"a\u003cb":"ü\n"}`, `{"deep":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`} {
		for _, c := range []token.Claims{
			{Anonymous: true, Provisional: true}, {Anonymous: true},
			{Method: "pwd", ProvenAt: at.Add(-time.Hour)}, {Method: "", ProvenAt: at}, {Method: `o"t\p<&>`, ProvenAt: at}, {Method: "häh\x00\xff\u2028\x7f", ProvenAt: at},
		} {
			c.UserID, c.SessionID, c.IssuedAt, c.ExpiresAt, c.App = uuid.Must(uuid.NewV7()), uuid.New(), at, at.Add(time.Hour), app
			all = append(all, c)
			c.Database = "abcdefgh"
			all = append(all, c)
		}
	}
	return all
}

// TestPayloadSpelling holds that a token is written as encoding/json would, and
// that what we write without an escape is read without it.
func TestPayloadSpelling(t *testing.T) {
	for _, names := range [][2]string{{"walkin", "walkin"}, {"https://app.example/?a=1&b=2", `"Ä"\`}} {
		for _, c := range somePayloads() {
			got, want, err := token.Payload(c, names[0], names[1])
			if err != nil || string(got) != string(want) {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
			ours, read, reference := token.ParsePayload(got, names[0], names[1])
			if plain := !strings.ContainsAny(c.Method, "\"\x00"); ours != plain || read != reference {
				t.Errorf("%s: got ours=%t %s, want %t %s", got, ours, read, plain, reference)
			}
		}
	}
	c := somePayloads()[0]
	c.App = `{"a":1},"sub":"x"`
	if _, _, err := token.Payload(c, "walkin", "walkin"); err == nil || !strings.Contains(err.Error(), "Claims.App is not JSON") {
		t.Errorf("app claims that are more than a value: got %v", err)
	}
}

// TestSigns holds the same for each sign that JSON, or encoding/json, may not write as
// it is: alone, so that no other one makes the whole word an escaped one.
func TestSigns(t *testing.T) {
	for _, sign := range []string{`"`, `\`, "<", ">", "&", " ", "!", "~", "\x1f", "\x00", "\n", "\x7f", "\xff", "\u00e4", "\u2028", "\u2029", "/", "'"} {
		c := somePayloads()[4] // of a permanent user
		c.Method = "a" + sign
		got, want, err := token.Payload(c, "walkin", "walkin")
		if err != nil || string(got) != string(want) {
			t.Errorf("%q: got %s, %v, want %s", sign, got, err, want)
		}
		if ours, read, reference := token.ParsePayload(got, "walkin", "walkin"); ours && read != reference {
			t.Errorf("%q: got %s, want %s", sign, read, reference)
		}
	}
}

// TestPayloadChanged holds that a payload of which something was taken away, or is
// another sign, is read as encoding/json reads it, or not at all.
func TestPayloadChanged(t *testing.T) {
	all := somePayloads()
	for _, c := range slices.Concat(all[:5], all[12:15]) {
		// A UUID with a letter in front is no number's end.
		c.UserID, c.SessionID = uuid.MustParse("a1b2c3d4-0000-7000-8000-000000000001"), uuid.MustParse("f1b2c3d4-0000-4000-8000-000000000002")
		text, _, err := token.Payload(c, "walkin", "walkin")
		if err != nil {
			t.Fatal(err)
		}
		check := func(changed string) {
			t.Helper()
			if ours, got, want := token.ParsePayload([]byte(changed), "walkin", "walkin"); ours && got != want {
				t.Errorf("%s: got %s, want %s", changed, got, want)
			}
		}
		edge := func(i int) bool { return strings.ContainsRune(`{}[]",:`, rune(text[i])) }
		for _, other := range [][2]string{
			{`"iat":1795000000`, `"iat":999999999999999999`}, {`"iat":1795000000`, `"iat":9999999999999999999`}, {`"iat":1795000000`, `"iat":01795000000`},
			{`{}}`, `{} }`}, {`{}}`, `{ }}`}, {`{}}`, ` {}}`}, {`{}}`, `{}},`},
		} {
			check(strings.Replace(string(text), other[0], other[1], 1))
		}
		for i := range text {
			check(string(text[:i]))
			for _, sign := range []string{"x", "0", ""} {
				check(string(text[:i]) + sign + string(text[i+1:]))
			}
			for j := i + 1; edge(i) && j < len(text); j++ {
				if edge(j) {
					check(string(text[:i]) + string(text[j:]))
					check(string(text[:i+1]) + string(text[j:]))
					check(string(text[:i]) + string(text[j+1:]))
				}
			}
		}
	}
}

func FuzzPayload(f *testing.F) {
	for _, c := range somePayloads() {
		text, _, err := token.Payload(c, "walkin", "walkin")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		for old, other := range map[string]string{
			`"exp":1`: `"exp":0`, `"iat":`: `"iat":-`, `"iat":1`: `"iat":9999999999999999991`, `false`: `null`, `}]`: `},{}]`,
			`"amr"`: `"exp":1,"amr"`, `,"app":{`: `,"app":{},"sub":{`, `"app":{`: `"app": {`, "-": "", `}`: `}}`, `"role":"a`: `"role":"A`, `"sub":"0`: `"sub":"{0`,
		} {
			f.Add([]byte(strings.Replace(string(text), old, other, 1)))
		}
		f.Add([]byte(strings.ToUpper(string(text))))
		f.Add(text[:len(text)-1])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if ours, got, want := token.ParsePayload(text, "walkin", "walkin"); ours && got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	})
}
