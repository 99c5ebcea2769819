package analyzer

import (
	"strings"

	"golang.org/x/tools/go/analysis/unitchecker"
)

// RunAsVetTool serves go vet, when it is go vet that has called the program with
// these arguments, and then ends it. Otherwise it returns false.
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
