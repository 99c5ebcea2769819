package rls

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Finding says what anonymous users reach by one command on one relation. The three
// booleans are about a token with is_anonymous true. They are nil where the verdict is
// [Unknown].
type Finding struct {
	Relation string `json:"relation"` // "public.posts", quoted where SQL needs it; for EXECUTE "public.f(uuid)"
	Command  string `json:"command"`  // SELECT, INSERT, UPDATE, DELETE, TRUNCATE, EXECUTE, or REFERENCES for a foreign key
	Verdict  string `json:"verdict"`
	Message  string `json:"message"`
	// Severity is "high", "medium", "low", "note", or empty when there is
	// nothing to change.
	Severity string `json:"severity,omitempty"`
	// Waived is the reason given in a comment that accepts the verdict. Severity is
	// then empty.
	Waived string `json:"waived,omitempty"`

	Anonymous    *bool `json:"anonymous"`     // gets at least one row in or out
	Depends      *bool `json:"depends"`       // a permanent user's token gets other rows
	MissingClaim *bool `json:"missing_claim"` // a token without the claim gets in
}

// The verdicts. Where several hold, the first of this list is given.
const (
	RLSOff       = "rls-off"       // granted, and row-level security is not enabled
	WalksPast    = "walks-past"    // a view or function with its owner's rights
	Owner        = "owner"         // the app's login, or the role itself, passes all policies
	UserMetadata = "user-metadata" // decided by what the visitor writes
	VoidGuard    = "void-guard"    // one policy asks for the claim, another lets all in
	FailOpen     = "fail-open"     // a missing claim gets more than is_anonymous true
	Inverted     = "inverted"      // an anonymous user gets more than a permanent one
	Unknown      = "unknown"       // decided by what the linter cannot know
	Open         = "open"          // an anonymous user gets all
	Limited      = "limited"       // an anonymous user gets some
	Dead         = "dead"          // neither gets anything
	Closed       = "closed"        // an anonymous user gets nothing, a permanent one something
)

// Two verdicts are about references to users, with the command REFERENCES.
const (
	BlocksDeletion = "blocks-deletion" // a foreign key to walkin_users without ON DELETE
	MoveOnMerge    = "move-on-merge"   // rows of a user, which OnMerge must move
)

// visitors is the role that [InTx] gives to users of both kinds.
const visitors = "authenticated"

//go:embed lint.sql
var catalogSQL string

// Lint asks PostgreSQL what anonymous users reach. It returns an element for every
// relation and command. Those with a Severity are worth a look. Relations of extensions
// and of the system are left out.
//
// It evaluates the policies' expressions on rows that it makes up, as the role
// authenticated, in a read-only transaction with a time-out. It writes nothing. The
// result depends neither on the rows that are there nor on the search path: names are
// looked up in the schema public. db's login must be able to become authenticated. A
// login that owns the tables sees most. With too few rights the verdict is unknown.
//
// Lint does not check the role anon, what triggers do, or functions that run with their
// owner's rights.
func Lint(ctx context.Context, db *sql.DB) ([]Finding, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("rls: %w", err)
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("rls: %w", err)
	}
	s := &session{tx: tx}
	defer func() {
		_ = tx.Rollback()
		// A prepared statement outlives the transaction, and the connection goes back
		// to the pool.
		if s.prepared {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), `DEALLOCATE "walkin lint"`)
		}
	}()
	findings, err := lint(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("rls: %w", err)
	}
	return findings, nil
}

func lint(ctx context.Context, s *session) ([]Finding, error) {
	// In order: what a hanging policy or a locked table may cost, names, and the
	// forms in which literals are written and read.
	for _, setting := range []string{
		`SET LOCAL statement_timeout = '60s'`, `SET LOCAL lock_timeout = '2s'`, `SET LOCAL search_path = public`,
		`SET LOCAL standard_conforming_strings = on`, `SET LOCAL plan_cache_mode = force_custom_plan`,
		`SET LOCAL datestyle = 'ISO, YMD'`, `SET LOCAL intervalstyle = 'postgres'`, `SET LOCAL row_security = on`,
		`SAVEPOINT walkin_lint`, // last: what is rolled back to it keeps the settings
	} {
		if _, err := s.tx.ExecContext(ctx, setting); err != nil {
			return nil, err
		}
	}
	var document []byte
	// To write an expression out, PostgreSQL locks the tables in it.
	err := s.within(ctx, func() error {
		return s.tx.QueryRowContext(ctx, catalogSQL, visitors).Scan(&document)
	})
	if err != nil {
		return nil, err
	}
	var c catalog
	if err := json.Unmarshal(document, &c); err != nil {
		return nil, err
	}
	if c.Bypass == nil {
		return nil, errors.New("there is no role authenticated: run InstallSQL first")
	}
	l := &linter{session: s, catalog: c, relation: map[int64]*relation{}, function: map[int64]*function{}}
	for i := range c.Relations {
		l.relation[c.Relations[i].OID] = &c.Relations[i]
	}
	for i := range c.Functions {
		l.function[c.Functions[i].OID] = &c.Functions[i]
	}
	// Better one error than a report full of "unknown".
	if _, err := s.tx.ExecContext(ctx, `SELECT set_config('role', $1, true), set_config('role', 'none', true)`, visitors); err != nil {
		return nil, fmt.Errorf("this login cannot become %s: %w", visitors, err)
	}
	var findings []Finding
	for i := range c.Relations {
		found, err := l.lintRelation(ctx, &c.Relations[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Relations[i].Name, err)
		}
		findings = append(findings, found...)
	}
	for i := range c.Functions {
		if f := &c.Functions[i]; !f.Foreign {
			findings = append(findings, l.lintFunction(f))
		}
	}
	return findings, nil
}

// catalog is the document of lint.sql.
type catalog struct {
	Now       time.Time
	Bypass    *bool // nil without the role
	Logins    []string
	Relations []relation
	Functions []function
}

type relation struct {
	Steward                    string // its owner, as whom the functions of its constraints run; or none
	OID                        int64
	Name, Alias, Schema, Kind  string
	Visible, RLS, Force, Owned bool
	Owner                      int64
	Comment                    string
	Masters                    []string // logins of the app's that pass its policies
	Privileges                 map[string]bool
	Readable                   bool // SELECT, whatever the schema's rights
	Columns                    []column
	Checks                     []string
	Policies                   []policy
	Triggers                   []trigger
	Rules                      []string
	Invoker, Checked, OfUsers  bool // security_invoker, check_option
	Updatable                  int
	Reads                      []read
	Calls                      []int64
	Blocks                     []string
	selected                   *result // of its SELECT, once known
	selecting                  bool
	materials                  map[string]*material
}

type read struct {
	OID    int64
	Passes bool // the view's owner is not subject to its policies
}

type column struct {
	Name, Quoted, Type, Base, Checks string
	Array, Domain, NotNull           bool
	Limit                            int
	Labels                           []string
	Fields                           [][2]string // of a composite type, names and types
	Identity, Generated, Default     string
	Insert, Update                   bool
	Stuck                            bool // its default is out of a sequence that the visitor may not use
}

type policy struct {
	Name, Command, Using, Check, Comment string
	Permissive, Applies                  bool
	Tables, Functions                    []int64
}

type trigger struct {
	Name            string
	Function        int64
	Before, Instead bool
	Commands        []string
}

type function struct {
	OID                                 int64
	Name, Word, Source, Comment         string
	Definer, Volatile, Foreign, Allowed bool
	Set                                 bool // it returns rows
}

type linter struct {
	*session
	catalog  catalog
	relation map[int64]*relation
	function map[int64]*function
}

// applying returns the policies that PostgreSQL composes for a command of a
// visitor's.
func (r *relation) applying(command string) []*policy {
	var out []*policy
	for i := range r.Policies {
		if p := &r.Policies[i]; p.Applies && (p.Command == "*" || p.Command == commandLetter[command]) {
			out = append(out, p)
		}
	}
	return out
}

var commandLetter = map[string]string{"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d"}

// checkText is the condition that a new row has to pass. PostgreSQL uses USING where
// there is no WITH CHECK.
func (p *policy) checkText() string {
	if p.Check == "" {
		return p.Using
	}
	return p.Check
}

// sources returns text and the sources of the functions that it names, and of those
// that these name, and so on.
func (l *linter) sources(text string) []string {
	out, seen := []string{text}, map[int64]bool{}
	for i := 0; i < len(out); i++ {
		for f := range l.called(out[i]) {
			if !seen[f.OID] {
				seen[f.OID] = true
				out = append(out, f.Source)
			}
		}
	}
	return out
}

// called yields the functions of the database's own whose names are in text.
func (l *linter) called(text string) func(func(*function) bool) {
	return func(yield func(*function) bool) {
		for i := range l.catalog.Functions {
			f := &l.catalog.Functions[i]
			if hasWord(text, f.Word) && !yield(f) {
				return
			}
		}
	}
}

// asks reports whether text asks for the claim, or calls a function that does.
func (l *linter) asks(text string) bool {
	return slices.ContainsFunc(l.sources(text), func(s string) bool { return strings.Contains(s, "is_anonymous") })
}
