// Command walkinvet finds writes that every visitor of a site reaches, and other
// mistakes with walkin's users.
//
//	walkinvet ./...
//	go vet -vettool=$(which walkinvet) ./...
//
// Both run go vet, with its flags, its cache and its exit codes. docs/linting.md
// explains the findings.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/walkin-go/walkin/cmd/walkinvet/analyzer"
)

func main() {
	if analyzer.RunAsVetTool(os.Args[1:]) {
		return
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "walkinvet:", err)
		os.Exit(2)
	}
	vet := exec.Command("go", append([]string{"vet", "-vettool=" + self}, os.Args[1:]...)...)
	vet.Stdin, vet.Stdout, vet.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := vet.Run(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "walkinvet:", err)
		os.Exit(2)
	}
}
