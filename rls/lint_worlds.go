package rls

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// A kind is what a token says of its user.
type kind int

const (
	anonymous kind = iota
	permanent
	missing
	kinds
)

// A world is what else a token and the app's settings say.
type world struct {
	app      map[string]any // claims of the app's own, at the top of the token and in app and app_metadata
	visitor  map[string]any // user_metadata: what visitors write themselves
	settings map[string]string
}

var plain = world{}

// claims are those of [InTx].
func (w world) claims(k kind) string {
	c := map[string]any{}
	maps.Copy(c, w.app)
	if w.app != nil {
		c["app"], c["app_metadata"] = w.app, w.app
	}
	if w.visitor != nil {
		c["user_metadata"] = w.visitor
	}
	delete(c, "is_anonymous")
	c["sub"], c["role"], c["session_id"] = visitorID, visitors, "019a0000-0000-7000-8000-00000000000c"
	if k != missing {
		c["is_anonymous"] = k == anonymous
	}
	text, _ := json.Marshal(c) // strings, booleans, lists and maps: it cannot fail
	return string(text)
}

// known are constants that say nothing of claims or settings beyond those that
// every token has.
var known = []string{"", "{}", "sub", "role", "is_anonymous", "session_id", "user_metadata", "authenticated", "anon", "service_role",
	"request.jwt.claims", "request.jwt.claim.sub", "request.jwt.claim.role", "request.jwt.claim", "true", "false", "null", "t", "f"}

// worlds returns the worlds in which an expression may be decided differently. The
// plain one comes first, then those with claims and settings of the app's, then those
// in which the visitor has written something.
func (l *linter) worlds(text string) (apps, poisoned []world) {
	sources := l.sources(text)
	strs, _ := constants(sources)
	holders := holding(sources)
	keys := slices.DeleteFunc(slices.Clone(strs), func(s string) bool {
		return s == "app" || s == "app_metadata" || s == "user_metadata" || len(s) > 40 || strings.HasPrefix(s, "request.jwt.")
	})
	keys = keys[:min(len(keys), 8)]
	values := []any{visitorID, otherID, true, false, 1}
	for _, k := range keys {
		values = append(values, k)
	}
	values = append(values, slices.Concat([]any{visitorID}, anys(keys)), nest(keys, holders, visitorID), nest(keys, holders, []any{visitorID, otherID}))
	var mixed []map[string]any
	for _, v := range values {
		mixed = append(mixed, nest(keys, holders, v))
	}
	for _, k := range keys {
		for _, c := range keys { // one key says this, all others the visitor's ID
			if k != c {
				m := nest(keys, holders, visitorID)
				for part := range strings.SplitSeq(strings.Trim(k, "{}"), ",") {
					m[part] = c
				}
				mixed = append(mixed, m)
			}
		}
	}
	mixed = mixed[:min(len(mixed), 40)]

	poison := slices.ContainsFunc(sources, func(s string) bool { return strings.Contains(s, "user_metadata") })
	if poison {
		for _, m := range mixed {
			poisoned = append(poisoned, world{visitor: m})
		}
	}
	own := func(s string) bool {
		return !slices.Contains(known, s) && !(poison && strings.Contains(s, "user_metadata"))
	}
	if !slices.ContainsFunc(strs, own) || !l.readsClaims(text) {
		return nil, poisoned
	}
	settings := slices.DeleteFunc(slices.Clone(strs), func(s string) bool {
		return !settingName.MatchString(s) || strings.HasPrefix(s, "request.jwt.")
	})
	for _, m := range mixed {
		w := world{app: m}
		if len(settings) > 0 {
			w.settings = map[string]string{}
			for _, name := range settings {
				if v, ok := m[name].(string); ok {
					w.settings[name] = v
				} else if text, err := json.Marshal(m[name]); err == nil {
					w.settings[name] = string(text)
				}
			}
		}
		apps = append(apps, w)
	}
	if len(settings) > 0 { // request.headers and the like are documents
		for _, v := range values {
			w := world{settings: map[string]string{}}
			for _, name := range settings {
				if text, err := json.Marshal(nest(keys, holders, v)); err == nil {
					w.settings[name] = string(text)
				}
			}
			apps = append(apps, w)
		}
	}
	return apps, poisoned
}

// readsClaims reports whether text reads claims or settings other than those
// that every token has.
func (l *linter) readsClaims(text string) bool {
	if readsClaims.MatchString(text) {
		return true
	}
	for f := range l.called(text) {
		sources := l.sources(f.Source)
		if slices.ContainsFunc(sources, func(s string) bool { return strings.Contains(s, "user_metadata") }) {
			return true
		} else if !slices.ContainsFunc(sources, readsClaims.MatchString) {
			continue
		}
		// Without arguments it reads what its own constants name.
		strs, _ := constants(sources)
		if !strings.HasSuffix(f.Name, "()") || slices.ContainsFunc(strs, func(s string) bool { return !slices.Contains(known, s) }) {
			return true
		}
	}
	return false
}

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}
