package analyzer

import (
	"go/ast"
	"go/token"
	"strings"

	"golang.org/x/tools/go/analysis"
)

const prefix = "//walkin:"

// A directive is a comment "//walkin:allow reason". It holds for its own line. Where
// nothing else is on that line, it also holds for the line below.
type directive struct {
	pos    token.Pos
	word   string
	reason string
}

type directives struct {
	all   []directive
	lines map[string]map[int]bool // by file
}

func readDirectives(pass *analysis.Pass) directives {
	d := directives{lines: map[string]map[int]bool{}}
	for _, file := range pass.Files {
		taken := map[int]bool{} // lines with code
		ast.Inspect(file, func(n ast.Node) bool {
			switch n.(type) {
			case nil, *ast.File, *ast.CommentGroup, *ast.Comment:
				_, isFile := n.(*ast.File)
				return isFile
			}
			taken[pass.Fset.Position(n.Pos()).Line] = true
			taken[pass.Fset.Position(n.End()).Line] = true
			return true
		})
		for _, group := range file.Comments {
			for _, c := range group.List {
				text, ok := strings.CutPrefix(c.Text, prefix)
				if !ok {
					continue
				}
				word, reason, _ := strings.Cut(text, " ")
				reason, _, _ = strings.Cut(reason, "//") // a comment on the comment
				one := directive{pos: c.Pos(), word: word, reason: strings.TrimSpace(reason)}
				d.all = append(d.all, one)
				if one.word != "allow" || one.reason == "" {
					continue
				}
				at := pass.Fset.Position(c.Pos())
				if d.lines[at.Filename] == nil {
					d.lines[at.Filename] = map[int]bool{}
				}
				d.lines[at.Filename][at.Line] = true
				if !taken[at.Line] {
					d.lines[at.Filename][pass.Fset.Position(group.End()).Line+1] = true
				}
			}
		}
	}
	return d
}

func (d directives) covers(at token.Position) bool { return d.lines[at.Filename][at.Line] }

// check reports directives that suppress nothing. Fails closed: the author of such a
// directive believes that it does suppress something.
func (d directives) check(p *pkg) {
	for _, one := range d.all {
		switch {
		case one.word != "allow":
			p.report(one.pos, "directive", "there is no directive walkin:%s: write //walkin:allow and why", one.word)
		case one.reason == "":
			p.report(one.pos, "directive", "this directive has no reason and so allows nothing: write //walkin:allow and why")
		}
	}
}
