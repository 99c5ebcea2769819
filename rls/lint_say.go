package rls

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Triggers that may say no, and those that may drop a row when they come before
// it is written.
var (
	refuses = regexp.MustCompile(`(?i)\braise\b|\bis_anonymous\b|\bcurrent_user\b|\bsession_user\b`)
	drops   = regexp.MustCompile(`(?i)\breturn\s+null\b`)
)

// mindTriggers withdraws a verdict that a trigger may change. A trigger cannot give
// access to a visitor whom the policies refuse on every row.
func (l *linter) mindTriggers(r *relation, f *Finding, policies string) {
	if f.Verdict == Closed || f.Verdict == Dead || f.Verdict == Unknown {
		return
	}
	for _, t := range r.Triggers {
		fn := l.function[t.Function]
		if !slices.Contains(t.Commands, f.Command) || fn == nil {
			continue
		}
		source := strings.Join(l.sources(fn.Source), "\n")
		changes := t.Before && f.Verdict == Limited && slices.ContainsFunc(r.Columns, func(c column) bool {
			return c.in(policies) && c.in(fn.Source)
		})
		if refuses.MatchString(source) || t.Before && drops.MatchString(source) || changes {
			f.Verdict, f.Message = Unknown, fmt.Sprintf("the policies let anonymous users in, but the trigger %s may refuse or change the row", t.Name)
			f.Anonymous, f.Depends, f.MissingClaim = nil, nil, nil
			return
		}
	}
}

func (l *linter) lintFunction(fn *function) Finding {
	f := Finding{Relation: fn.Name, Command: "EXECUTE"}
	switch {
	case !fn.Allowed:
		f.Verdict, f.Message = Dead, visitors+" cannot call it"
		f.answer(false, false, false)
	case !fn.Definer:
		f.Verdict, f.Message = Open, "it runs with the visitor's own rights"
		f.answer(true, false, true)
	case l.asks(fn.Source):
		f.Verdict, f.Message = Unknown, "SECURITY DEFINER: it passes all policies, and asks for is_anonymous itself"
	default:
		f.Verdict, f.Message = WalksPast, "SECURITY DEFINER: anonymous users run it with its owner's rights"
		f.answer(true, false, true)
		if !fn.Volatile { // it writes nothing
			f.Severity = "low"
		}
	}
	if f.Severity == "" {
		f.Severity = severity(f.Verdict, f.Command)
	}
	waive(&f, []string{fn.Comment})
	return f
}

// waiver is a line of a comment: "walkin allow open: everybody reads the board".
var waiver = regexp.MustCompile(`(?m)^\s*walkin allow ([a-z-]+(?:, *[a-z-]+)*):?[ \t]*(.*)$`)

// waive looks for a waiver in the comments of the relation and of the policies
// for the command.
func (r *relation) waive(f *Finding) {
	comments := []string{r.Comment}
	for _, p := range r.applying(f.Command) {
		comments = append(comments, p.Comment)
	}
	waive(f, comments)
}

func waive(f *Finding, comments []string) {
	if f.Severity == "" {
		return
	}
	for _, comment := range comments {
		for _, m := range waiver.FindAllStringSubmatch(comment, -1) {
			if !slices.Contains(strings.FieldsFunc(m[1], func(c rune) bool { return c == ',' || c == ' ' }), f.Verdict) {
				continue
			}
			if reason := strings.TrimSpace(m[2]); reason != "" {
				f.Waived, f.Severity = reason, ""
				return
			}
			f.Message += "; its waiver has no reason and does not count"
		}
	}
}

// explain says a verdict in words.
func (l *linter) explain(f *Finding, res *result) string {
	switch f.Verdict {
	case UserMetadata:
		return "user_metadata decides, which visitors write themselves"
	case VoidGuard:
		return "one policy asks for is_anonymous, and another lets the same rows through: permissive policies are joined by OR"
	case FailOpen:
		return "a token without is_anonymous gets more than one with true: compare with IS FALSE"
	case Inverted:
		return "an anonymous user gets rows that a permanent one does not"
	case Open:
		return "an anonymous user gets every row"
	case Limited:
		return "an anonymous user gets some rows"
	case Closed:
		return "an anonymous user gets nothing"
	case Dead:
		if res.why != "" {
			return res.why
		}
		return "no policy lets anybody in"
	}
	message := res.doubt
	if message == "" {
		message = "claims or settings of the app's own decide"
	}
	if len(res.reads) > 0 {
		var names []string
		for _, oid := range res.reads {
			if t := l.relation[oid]; t != nil {
				names = append(names, t.Name)
			}
		}
		slices.Sort(names)
		message = "it depends on what is in " + strings.Join(names, ", ")
	}
	return message
}
