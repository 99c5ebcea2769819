package analyzer

import (
	"strings"

	"golang.org/x/tools/go/analysis/unitchecker"
)

// RunAsVetTool serves go vet if go vet has called the program with these arguments, and
// then ends the program. Otherwise it returns false.
func RunAsVetTool(args []string) bool {
	if len(args) == 0 {
		return false
	}
	last := args[len(args)-1]
	if !strings.HasPrefix(args[0], "-V") && args[0] != "-flags" && !strings.HasSuffix(last, ".cfg") {
		return false
	}
	unitchecker.Main(Analyzer)
	return true
}
