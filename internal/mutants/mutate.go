package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A mutant is one small mistake, put into the source behind a switch.
type mutant struct {
	number int
	where  string // file and line
	kind   string
	text   string // the code that it changes
}

// A mutator puts all mutants of one package into its source.
type mutator struct {
	fset    *token.FileSet
	mutants []mutant
	source  []byte
	edits   []edit
}

// An edit inserts text at an offset. What ends there comes before what begins there;
// an outer beginning before an inner one, an inner end before an outer one.
type edit struct {
	at    int
	ends  bool
	order int
	text  string
}

// helpers are in a file of their own in each package. The number of the mutant that is
// switched on comes from the environment. The trace is a file that each mutant writes
// its number to when it is first reached.
const helpers = `
import (
	mutantOS "os"
	mutantStrconv "strconv"
	mutantAtomic "sync/atomic"
)

var (
	mutantActive, _ = mutantStrconv.Atoi(mutantOS.Getenv("WALKIN_MUTANT"))
	mutantTrace     = mutantOS.Getenv("WALKIN_MUTANT_TRACE")
	mutantReached   [%d]mutantAtomic.Bool
)

func mutantOn(n int) bool {
	if mutantTrace != "" && mutantReached[n].CompareAndSwap(false, true) {
		if f, err := mutantOS.OpenFile(mutantTrace, mutantOS.O_APPEND|mutantOS.O_CREATE|mutantOS.O_WRONLY, 0o600); err == nil {
			f.WriteString(mutantStrconv.Itoa(n) + "\n")
			f.Close()
		}
	}
	return mutantActive == n
}

func mutantErr(n int, err error) error {
	if err != nil && mutantOn(n) {
		return nil
	}
	return err
}
`

// mutate reads the package in dir and returns its files with all mutants in them, by
// name. A file that is left out of this platform's build is left out here too.
func mutate(dir string, names []string) (map[string][]byte, []mutant, error) {
	m := &mutator{fset: token.NewFileSet()}
	files, pkg := map[string][]byte{}, ""
	for _, name := range names {
		path := filepath.Join(dir, name)
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		file, err := parser.ParseFile(m.fset, path, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		pkg = file.Name.Name
		m.source, m.edits = source, nil
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
				m.function(f.Type, f.Body)
			}
		}
		files[path] = m.apply()
	}
	files[filepath.Join(dir, "zz_mutants.go")] = fmt.Appendf(nil, "package %s\n"+helpers, pkg, len(m.mutants)+1)
	return files, m.mutants, nil
}

func (m *mutator) apply() []byte {
	slices.SortStableFunc(m.edits, func(a, b edit) int {
		switch {
		case a.at != b.at:
			return a.at - b.at
		case a.ends != b.ends:
			if a.ends {
				return -1
			}
			return 1
		case a.ends:
			return b.order - a.order
		}
		return a.order - b.order
	})
	var b []byte
	last := 0
	for _, e := range m.edits {
		b = append(append(b, m.source[last:e.at]...), e.text...)
		last = e.at
	}
	return append(b, m.source[last:]...)
}

func (m *mutator) offset(p token.Pos) int { return m.fset.Position(p).Offset }

func (m *mutator) textOf(n ast.Node) string {
	return string(m.source[m.offset(n.Pos()):m.offset(n.End())])
}

// add makes a mutant of n and puts its source between before, which may name the
// mutant's number as %d, and after.
func (m *mutator) add(n ast.Node, kind, before, after string) {
	number := len(m.mutants) + 1
	at := m.fset.Position(n.Pos())
	m.mutants = append(m.mutants, mutant{number, fmt.Sprintf("%s:%d", at.Filename, at.Line), kind, strings.Join(strings.Fields(m.textOf(n)), " ")})
	order := len(m.edits)
	m.edits = append(m.edits,
		edit{m.offset(n.Pos()), false, order, strings.ReplaceAll(before, "%d", strconv.Itoa(number))},
		edit{m.offset(n.End()), true, order, after})
}

func (m *mutator) function(f *ast.FuncType, body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			m.function(n.Type, n.Body)
			return false
		case *ast.GenDecl:
			return n.Tok != token.CONST
		case *ast.BlockStmt:
			m.statements(n.List)
		case *ast.CommClause:
			m.statements(n.Body)
		case *ast.CaseClause:
			m.statements(n.Body)
		case *ast.SwitchStmt:
			if n.Tag == nil {
				for _, clause := range n.Body.List {
					for _, e := range clause.(*ast.CaseClause).List {
						m.condition(e)
					}
				}
			}
		case *ast.IfStmt:
			m.condition(n.Cond)
		case *ast.ForStmt:
			if n.Cond != nil {
				m.force(n.Cond, "loop", false)
			}
		case *ast.BinaryExpr:
			m.binary(n)
		case *ast.ReturnStmt:
			m.returned(f, n)
		}
		return true
	})
}

func (m *mutator) condition(e ast.Expr) {
	m.add(e, "condition negated", "((mutantOn(%d) == true) != (", "))")
	m.force(e, "condition", false)
	m.force(e, "condition", true)
}

// force makes a mutant that is always false or always true. It is reached where that
// makes a difference. A comparison has no type yet, so e may be of any type of bool.
func (m *mutator) force(e ast.Expr, what string, to bool) {
	with := ") && mutantOn(%d) == false)"
	if to {
		with = ") || mutantOn(%d) == true)"
	}
	m.add(e, fmt.Sprintf("%s is %t", what, to), "((", fmt.Sprintf(with, len(m.mutants)+1))
}

// others are the operators that a comparison is confused with. The second moves the
// constant beside it by one, as it were.
var others = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR, token.EQL: token.NEQ, token.NEQ: token.EQL,
}

func (m *mutator) binary(e *ast.BinaryExpr) {
	x, y := m.textOf(e.X), m.textOf(e.Y)
	if other, ok := others[e.Op]; ok {
		m.instead(e, "operator "+e.Op.String()+" is "+other.String(), x+" "+other.String()+" "+y)
		if n, ok := e.Y.(*ast.BasicLit); ok && n.Kind == token.INT && e.Op != token.EQL && e.Op != token.NEQ {
			m.instead(e, "constant moved by one", x+" "+e.Op.String()+" "+y+"+1")
		}
		return
	}
	if e.Op == token.LAND || e.Op == token.LOR {
		for _, operand := range []ast.Expr{e.X, e.Y} {
			m.force(operand, "operand", e.Op == token.LAND)
		}
	}
}

// instead makes a mutant that is another boolean expression.
func (m *mutator) instead(e ast.Expr, kind, other string) {
	if strings.Contains(other, "%") {
		return
	}
	m.add(e, kind, fmt.Sprintf("(mutantOn(%%d) == true && (%s) || mutantActive != %d && (", other, len(m.mutants)+1), "))")
}

func (m *mutator) returned(f *ast.FuncType, r *ast.ReturnStmt) {
	if f.Results == nil {
		return
	}
	results := 0
	for _, field := range f.Results.List {
		results += max(1, len(field.Names))
	}
	last, ok := f.Results.List[len(f.Results.List)-1].Type.(*ast.Ident)
	if !ok || last.Name != "error" || len(r.Results) != results {
		return
	}
	e := r.Results[results-1]
	if name, ok := e.(*ast.Ident); ok && name.Name == "nil" {
		return
	}
	m.add(e, "error is nil", "mutantErr(%d, ", ")")
}

func (m *mutator) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok {
				if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "panic" {
					continue
				}
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE || isBlank(s.Lhs) {
				continue
			}
		case *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt:
		default:
			continue
		}
		m.add(s, "statement removed", "if !mutantOn(%d) { ", " }")
	}
}

func isBlank(all []ast.Expr) bool {
	for _, e := range all {
		if name, ok := e.(*ast.Ident); !ok || name.Name != "_" {
			return false
		}
	}
	return true
}
