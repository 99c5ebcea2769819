package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/walkin-go/walkin/store"
)

func usersCommand() *cobra.Command {
	return group("users", "List, show, export, delete and ban users", usersList(), usersCount(), usersShow(), usersExport(), usersDelete(), usersBan(), usersUnban())
}

// A row is a user as a list shows them.
type row struct {
	ID         uuid.UUID    `json:"id"`
	Anonymous  bool         `json:"anonymous"`
	CreatedAt  time.Time    `json:"created_at"`
	SeenAt     time.Time    `json:"seen_at"`
	Ban        *store.Ban   `json:"ban,omitempty"`
	Identities []identified `json:"identities"`
}

type identified struct {
	Provider string `json:"provider"`
	Subject  string `json:"subject"`
}

func rowOf(u store.ListedUser) row {
	r := row{ID: u.ID, Anonymous: u.Anonymous, CreatedAt: u.CreatedAt, SeenAt: u.SeenAt, Identities: []identified{}}
	if !u.Ban.Until.IsZero() {
		r.Ban = &u.Ban
	}
	for _, one := range u.Identities {
		r.Identities = append(r.Identities, identified{one.Provider, one.Subject})
	}
	return r
}

// write writes a line of a table. Names that users chose are quoted where a terminal
// could interpret them.
func (r row) write(w io.Writer) {
	kind := "permanent"
	if r.Anonymous {
		kind = "anonymous"
	}
	if r.Ban != nil && time.Now().Before(r.Ban.Until) {
		kind += " banned"
	}
	var names []string
	for _, one := range r.Identities {
		names = append(names, printable(one.Provider)+" "+printable(one.Subject))
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, kind, stamp(r.CreatedAt), stamp(r.SeenAt), strings.Join(names, ", "))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func printable(s string) string {
	for _, c := range s {
		if !strconv.IsPrint(c) {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

func usersList() *cobra.Command {
	var q store.UserQuery
	var anonymous, permanent bool
	var seenBefore, from, before string
	var limit int
	c := onStore("list", "List users, the newest first", true, cobra.NoArgs, func(ctx context.Context, t *tool, _ []string) error {
		if anonymous && permanent {
			return errors.New("--anonymous and --permanent are all users; leave both out")
		}
		switch {
		case anonymous:
			q.Kind = store.AnonymousUsers
		case permanent:
			q.Kind = store.PermanentUsers
		}
		for text, at := range map[*string]*time.Time{&seenBefore: &q.SeenBefore, &from: &q.CreatedFrom, &before: &q.CreatedBefore} {
			if *text == "" {
				continue
			}
			var err error
			if *at, err = aTime(*text); err != nil {
				return err
			}
		}
		return t.list(ctx, q, limit)
	})
	flags := c.Flags()
	flags.BoolVar(&anonymous, "anonymous", false, "anonymous users only")
	flags.BoolVar(&permanent, "permanent", false, "permanent users only")
	flags.StringVar(&q.Provider, "provider", "", "users with an identity of this provider")
	flags.StringVar(&q.SubjectPrefix, "address", "", "users with an address or a name that begins so")
	flags.StringVar(&seenBefore, "seen-before", "", "last seen before a time, such as 30d")
	flags.StringVar(&from, "from", "", "created at or after a time")
	flags.StringVar(&before, "before", "", "created before a time")
	flags.IntVar(&limit, "limit", 50, "how many at most; 0 is all")
	return c
}

// list writes users as they come: a list of all may be long.
func (t *tool) list(ctx context.Context, q store.UserQuery, limit int) error {
	q.Limit = 1000
	written := 0
	defer func() { t.say("%d users", written) }()
	if t.asJSON {
		fmt.Fprint(t.out, "[")
		defer func() { fmt.Fprintln(t.out, "]") }()
	}
	for {
		if limit > 0 {
			q.Limit = min(limit-written, 1000)
		}
		page, err := t.store.ListUsers(ctx, q)
		if err != nil {
			return err
		}
		for _, user := range page.Users {
			if t.asJSON {
				line, err := json.Marshal(rowOf(user))
				if err != nil {
					return err
				}
				if written > 0 {
					fmt.Fprint(t.out, ",")
				}
				fmt.Fprintf(t.out, "\n%s", line)
			} else {
				rowOf(user).write(t.out)
			}
			written++
		}
		if q.After = page.Next; q.After == "" || limit > 0 && written >= limit {
			return nil
		}
	}
}

func usersCount() *cobra.Command {
	var exact bool
	c := onStore("count", "Count users", true, cobra.NoArgs, func(ctx context.Context, t *tool, _ []string) error {
		counts := make(map[string]store.Count)
		names := []string{"anonymous", "permanent"}
		for i, kind := range []store.UserKind{store.AnonymousUsers, store.PermanentUsers} {
			count, err := t.store.CountUsers(ctx, kind, exact)
			if err != nil {
				return err
			}
			counts[names[i]] = count
		}
		type jsonCount struct {
			Count    int64          `json:"count"`
			Accuracy store.Accuracy `json:"accuracy"`
		}
		out := make(map[string]jsonCount)
		for name, count := range counts {
			out[name] = jsonCount{count.N, count.Accuracy}
		}
		return t.print(out, func(w io.Writer) {
			for _, name := range names {
				fmt.Fprintf(w, "%s\t%d\t%s\n", name, counts[name].N, counts[name].Accuracy)
			}
		})
	})
	c.Flags().BoolVar(&exact, "exact", false, "count every one, however long it takes")
	return c
}

func userID(args []string) (uuid.UUID, error) {
	id, err := uuid.Parse(args[0])
	if err != nil || len(args[0]) != 36 {
		return uuid.Nil, errors.New("the argument is no user ID")
	}
	return id, nil
}

// onUser makes a command about one user.
func onUser(use, short string, run func(ctx context.Context, t *tool, id uuid.UUID) error) *cobra.Command {
	return onStore(use+" ID", short, true, cobra.ExactArgs(1), func(ctx context.Context, t *tool, args []string) error {
		id, err := userID(args)
		if err != nil {
			return err
		}
		if err = run(ctx, t, id); errors.Is(err, store.ErrNotFound) {
			err = errors.New("there is no such user")
		}
		return err
	})
}

func usersShow() *cobra.Command {
	return onUser("show", "Show a user with identities and sessions", func(ctx context.Context, t *tool, id uuid.UUID) error {
		e, err := t.wk.Export(ctx, id)
		if err != nil {
			return err
		}
		return t.print(e, func(w io.Writer) {
			if e.Deleted != nil {
				fmt.Fprintf(w, "deleted\t%s\n", stamp(e.Deleted.DeletedAt))
				return
			}
			fmt.Fprintf(w, "user\t%s\nanonymous\t%t\ncreated\t%s\nseen\t%s\n", e.UserID, e.Anonymous, stamp(e.CreatedAt), stamp(e.SeenAt))
			if e.Ban != nil {
				fmt.Fprintf(w, "banned until\t%s\t%s\n", stamp(e.Ban.Until), printable(e.Ban.Reason))
			}
			for _, one := range e.Identities {
				fmt.Fprintf(w, "identity\t%s\t%s\t%s\n", printable(one.Provider), printable(one.Subject), stamp(one.CreatedAt))
			}
			for _, one := range e.Sessions {
				fmt.Fprintf(w, "session\t%s\tsince %s\tuntil %s\n", one.ID, stamp(one.CreatedAt), stamp(one.ExpiresAt))
			}
		})
	})
}

func usersExport() *cobra.Command {
	return onUser("export", "Write all that is stored about a user as JSON", func(ctx context.Context, t *tool, id uuid.UUID) error {
		t.wk.LoadAndSave(sessionData(t.store)) // so that the export has the data in sessions
		e, err := t.wk.Export(ctx, id)
		if err != nil {
			return err
		}
		t.say("what the app's own tables have about the user is not in it")
		return printJSON(t.out, e)
	})
}

func usersDelete() *cobra.Command {
	var yes bool
	c := onUser("delete", "Delete a user for ever", func(ctx context.Context, t *tool, id uuid.UUID) error {
		if _, err := t.wk.Export(ctx, id); err != nil {
			return err
		}
		if !yes {
			return errors.New("this cannot be undone; --yes deletes the user")
		}
		// A tombstone must outlive every token, by the longest life that a replica announced.
		db, err := t.store.Database(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		if err := t.store.DeleteUser(ctx, store.Tombstone{UserID: id, DeletedAt: now, ExpiresAt: now.Add(db.TokenLife)}); err != nil {
			return err
		}
		return t.done("deleted", id)
	})
	c.Flags().BoolVar(&yes, "yes", false, "do it")
	return c
}

func usersBan() *cobra.Command {
	var reason, until string
	c := onUser("ban", "Keep a user out", func(ctx context.Context, t *tool, id uuid.UUID) error {
		ban := store.Ban{Reason: reason}
		if until != "" {
			at, err := time.Parse(time.DateOnly, until)
			if err != nil {
				if at, err = time.Parse(time.RFC3339, until); err != nil {
					return fmt.Errorf("--until %q is no time like 2026-03-29", until)
				}
			}
			ban.Until = at
		}
		if err := t.wk.Ban(ctx, id, ban); err != nil {
			return err
		}
		return t.done("banned", id)
	})
	c.Flags().StringVar(&reason, "reason", "", "why, for operators")
	c.Flags().StringVar(&until, "until", "", "the end; none is for good")
	return c
}

func usersUnban() *cobra.Command {
	return onUser("unban", "Let a user in again", func(ctx context.Context, t *tool, id uuid.UUID) error {
		if err := t.wk.Unban(ctx, id); err != nil {
			return err
		}
		return t.done("unbanned", id)
	})
}

// done reports what was done to a user.
func (t *tool) done(what string, id uuid.UUID) error {
	return t.print(map[string]any{"user_id": id, "done": what}, func(w io.Writer) { fmt.Fprintf(w, "%s\t%s\n", what, id) })
}
