// Command walkin looks after a site that uses walkin.
//
// Its results go to standard output, remarks about them to standard error. It exits
// with 0, with 1 when there are findings, and with 2 when it was called wrongly or
// could not do what was asked.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"github.com/walkin-go/walkin/cmd/walkinvet/analyzer"
)

func main() {
	if analyzer.RunAsVetTool(os.Args[1:]) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errFindings ends a command that has shown its findings.
var errFindings = errors.New("there are findings")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	return runWith(ctx, args, os.Stdin, stdout, stderr)
}

func runWith(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	root := &cobra.Command{
		Use:   "walkin",
		Short: "Look after a site that uses walkin",
		// Shown once, below, and without the usage for what is no mistake in it.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetIn(stdin)
	root.AddCommand(lintCommand(), migrateCommand(), usersCommand(), sweepCommand(), sessionsCommand(), keysCommand(), tokenCommand(), sqlCommand(), doctorCommand())
	switch err := root.ExecuteContext(ctx); {
	case errors.Is(err, errFindings):
		return 1
	case err != nil:
		fmt.Fprintln(stderr, "walkin:", err)
		return 2
	}
	return 0
}

// group is a command that only holds others. For an unknown word, Cobra would show its
// help and call that a success.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		_ = c.Usage() // to standard error
		return errors.New("which " + c.Name() + "?")
	}}
	c.AddCommand(commands...)
	return c
}
