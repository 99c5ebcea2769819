package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/walkin-go/walkin"
)

// sessionData is a manager over the data that a site keeps in its sessions.
func sessionData(store quiet) *scs.SessionManager {
	return &scs.SessionManager{Store: store.Sessions(), Codec: scs.GobCodec{}, Lifetime: time.Hour}
}

func migrateCommand() *cobra.Command {
	var dry bool
	c := onStore("migrate", "Bring the store's tables to this version", false, cobra.NoArgs, func(ctx context.Context, t *tool, _ []string) error {
		return t.migrate(ctx, dry, false)
	})
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be applied")
	c.AddCommand(onStore("status", "Say which migrations are missing; exits with 1 if there are any", false, cobra.NoArgs, func(ctx context.Context, t *tool, _ []string) error {
		return t.migrate(ctx, true, true)
	}))
	return c
}

func (t *tool) migrate(ctx context.Context, dry, status bool) error {
	pending, err := t.store.Pending(ctx)
	if err != nil {
		return err
	}
	if !dry {
		if err := t.store.Migrate(ctx); err != nil {
			return err
		}
	}
	err = t.print(map[string]any{"migrations": pending, "applied": !dry}, func(w io.Writer) {
		for _, name := range pending {
			fmt.Fprintln(w, name)
		}
	})
	if what := "applied"; err == nil {
		if dry {
			what = "missing"
		}
		t.say("%d migrations %s", len(pending), what)
	}
	if err == nil && status && len(pending) > 0 {
		return errFindings
	}
	return err
}

// ages are the buckets of a dry run, in days.
var ages = []int{30, 60, 90, 180, 365}

func sweepCommand() *cobra.Command {
	var dry bool
	var inactive string
	c := onStore("sweep", "Delete anonymous users who have stayed away", true, cobra.NoArgs, func(ctx context.Context, t *tool, _ []string) error {
		opts := walkin.SweepOptions{DryRun: dry}
		if inactive != "" {
			d, err := aDuration(inactive)
			if err != nil || d <= 0 {
				return fmt.Errorf("--inactive-for %q is no duration like 30d", inactive)
			}
			opts.InactiveFor = d
		}
		buckets := make(map[string]int64)
		if dry { // before, since what is there may change
			for _, days := range ages {
				count, err := t.store.CountInactive(ctx, time.Now().AddDate(0, 0, -days), math.MaxInt32-1)
				if err != nil {
					return err
				}
				buckets[fmt.Sprintf("%dd", days)] = count.N
			}
		}
		seen, told := 0, time.Now()
		opts.Keep = func(_ context.Context, users []uuid.UUID) ([]uuid.UUID, error) {
			if seen += len(users); time.Since(told) > time.Second {
				told = time.Now()
				t.say("%d users so far", seen)
			}
			return nil, nil
		}
		n, err := t.wk.Sweep(ctx, opts)
		if n == 0 && err != nil {
			return err
		}
		out := map[string]any{"users": n, "dry_run": dry}
		if dry {
			out["inactive"] = buckets
		}
		printed := t.print(out, func(w io.Writer) {
			fmt.Fprintf(w, "users\t%d\n", n)
			for _, days := range ages {
				if dry {
					fmt.Fprintf(w, "away for %d days\t%d\n", days, buckets[fmt.Sprintf("%dd", days)])
				}
			}
		})
		return errors.Join(err, printed)
	})
	c.Flags().BoolVar(&dry, "dry-run", false, "count, and delete nothing")
	c.Flags().StringVar(&inactive, "inactive-for", "", "how long users were not seen; 30d, or as long as a token lives")
	return c
}

func sessionsCommand() *cobra.Command {
	var before string
	var anonymous, yes bool
	end := onStore("end", "End every session that was opened before a time", true, cobra.NoArgs, func(ctx context.Context, t *tool, _ []string) error {
		if before == "" {
			return errors.New("--before says which sessions; --before 0s is all of them")
		}
		at, err := aTime(before)
		if err != nil {
			return err
		}
		if !yes {
			return fmt.Errorf("this signs everybody out whose session is from before %s; --yes does it", stamp(at))
		}
		if err := t.wk.EndSessionsBefore(ctx, at, anonymous); err != nil {
			return err
		}
		return t.print(map[string]any{"ended_before": at.UTC(), "anonymous": anonymous}, func(w io.Writer) {
			fmt.Fprintf(w, "ended\tbefore %s\n", stamp(at))
		})
	})
	end.Flags().StringVar(&before, "before", "", "a time, a date, or how long ago: 2026-03-29, 12h")
	end.Flags().BoolVar(&anonymous, "anonymous", false, "of anonymous users as well, who cannot come back")
	end.Flags().BoolVar(&yes, "yes", false, "do it")
	return group("sessions", "End sessions", end)
}
