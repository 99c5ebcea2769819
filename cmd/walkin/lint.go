package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/spf13/cobra"
	"github.com/walkin-go/walkin/rls"
)

func lintCommand() *cobra.Command {
	return group("lint", "Find what anonymous users can reach", lintSQL(), lintRoutes())
}

func lintSQL() *cobra.Command {
	var asJSON, all bool
	c := &cobra.Command{
		Use:   "sql DSN",
		Short: "What PostgreSQL's row-level security lets anonymous users do",
		Long: `Asks PostgreSQL, for each relation and command, what an anonymous user gets.
It writes nothing. The password may also be in PGPASSWORD or a password file.
docs/linting.md explains the verdicts, and how to accept one.`,
		Example: `  walkin lint sql postgres://owner@localhost/app
  walkin lint sql --json --all "$DATABASE_URL"`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			db, err := sql.Open("pgx", args[0])
			if err != nil {
				return err
			}
			defer db.Close()
			seen, err := rls.Lint(c.Context(), db)
			if err != nil {
				return err
			}
			shown, findings := []rls.Finding{}, 0
			for _, f := range seen {
				if all || f.Severity != "" {
					shown = append(shown, f)
				}
				if f.Severity != "" && f.Severity != "note" {
					findings++
				}
			}
			if asJSON {
				encoder := json.NewEncoder(c.OutOrStdout())
				encoder.SetEscapeHTML(false)
				encoder.SetIndent("", "  ")
				err = encoder.Encode(shown)
			} else {
				w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
				for _, f := range shown {
					message := f.Message
					if f.Waived != "" {
						message += " (accepted: " + f.Waived + ")"
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", f.Severity, f.Relation, f.Command, f.Verdict, message)
				}
				err = w.Flush()
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "%d relations and commands, %d findings\n", len(seen), findings)
			if findings > 0 {
				return errFindings
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	c.Flags().BoolVar(&all, "all", false, "print every relation and command, not the findings alone")
	return c
}
