package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// ourCall returns the name of the function of walkin's that a call calls.
func (p *pkg) ourCall(n ast.Node) (call *ast.CallExpr, name string) {
	e, ok := n.(ast.Expr)
	if !ok {
		return nil, ""
	}
	call, ok = ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return nil, ""
	}
	fn, ok := typeutil.Callee(p.TypesInfo, call).(*types.Func)
	if !ok {
		return nil, ""
	}
	room, ours := roomOf(pathOf(fn))
	if !ours || room != "" && !strings.HasPrefix(room, "adapters/") {
		return nil, ""
	}
	return call, fn.Name()
}

// calls checks how walkin's functions are called.
func (p *pkg) calls() {
	for _, file := range p.Files {
		name := p.Fset.Position(file.Pos()).Filename
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		isTest := false // a package that helps tests
		for _, spec := range file.Imports {
			isTest = isTest || spec.Path.Value == `"testing"` || spec.Path.Value == `"`+module+`/walkintest"`
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ExprStmt:
				p.dropped(n.X)
			case *ast.GoStmt:
				p.dropped(n.Call)
			case *ast.DeferStmt:
				p.dropped(n.Call)
			case *ast.AssignStmt:
				if len(n.Rhs) == 1 && isBlank(n.Lhs[len(n.Lhs)-1]) {
					p.dropped(n.Rhs[0])
				}
			case *ast.CallExpr:
				if call, name := p.ourCall(n); name == "NewContext" && !isTest {
					p.report(call.Pos(), "newcontext", "NewContext makes claims up: outside of tests users come from Handler")
				}
			case *ast.FuncDecl, *ast.FuncLit:
				if body := bodyOf(n); body != nil {
					p.afterRefuse(body.List, nil)
					p.late(n, body)
				}
			}
			return true
		})
	}
}

func (p *pkg) dropped(e ast.Expr) {
	call, name := p.ourCall(e)
	switch name {
	case "Ensure", "Continue":
		p.report(call.Pos(), "error", "the error of %s is dropped: the request may have no user. Answer it with Refuse and return", name)
	case "SignOut", "SignOutEverywhere":
		p.report(call.Pos(), "error", "the error of %s is dropped: the visitor may still be signed in. Answer it with Refuse and return", name)
	}
}

// afterRefuse finds calls of Refuse after which the handler goes on. behind is what
// runs after the list, innermost first.
func (p *pkg) afterRefuse(list []ast.Stmt, behind [][]ast.Stmt) {
	for i, stmt := range list {
		rest := append([][]ast.Stmt{list[i+1:]}, behind...)
		if e, ok := stmt.(*ast.ExprStmt); ok {
			if call, name := p.ourCall(e.X); (name == "Refuse" || name == "RefuseForm") && p.goesOn(rest) {
				p.report(call.Pos(), "return", "the handler goes on after %s: return", name)
			}
			continue
		}
		for _, inner := range blocksOf(stmt) {
			p.afterRefuse(inner, rest)
		}
	}
}

// blocksOf returns the lists of statements within a statement, functions excepted.
func blocksOf(s ast.Stmt) (out [][]ast.Stmt) {
	switch s := s.(type) {
	case *ast.BlockStmt:
		return [][]ast.Stmt{s.List}
	case *ast.LabeledStmt:
		return blocksOf(s.Stmt)
	case *ast.IfStmt:
		out = append(out, s.Body.List)
		if s.Else != nil {
			out = append(out, blocksOf(s.Else)...)
		}
	case *ast.ForStmt:
		return [][]ast.Stmt{s.Body.List}
	case *ast.RangeStmt:
		return [][]ast.Stmt{s.Body.List}
	case *ast.SwitchStmt:
		return clauses(s.Body)
	case *ast.TypeSwitchStmt:
		return clauses(s.Body)
	case *ast.SelectStmt:
		return clauses(s.Body)
	}
	return out
}

func clauses(body *ast.BlockStmt) (out [][]ast.Stmt) {
	for _, c := range body.List {
		switch c := c.(type) {
		case *ast.CaseClause:
			out = append(out, c.Body)
		case *ast.CommClause:
			out = append(out, c.Body)
		}
	}
	return out
}

// goesOn reports whether a handler does anything before it returns. In the block that
// refused it may log, or do anything else that does not write an answer.
func (p *pkg) goesOn(rest [][]ast.Stmt) bool {
	for depth, list := range rest {
		for _, s := range list {
			switch s := s.(type) {
			case *ast.ReturnStmt:
				return false
			case *ast.BranchStmt, *ast.EmptyStmt:
				if s, ok := s.(*ast.BranchStmt); ok && s.Tok == token.GOTO {
					return false
				}
				continue
			case *ast.ExprStmt:
				if endsFlow([]ast.Stmt{s}) {
					return false
				}
				if depth == 0 && !p.canAnswer(s) {
					continue
				}
			case *ast.AssignStmt, *ast.IncDecStmt:
				if depth == 0 {
					continue
				}
			}
			return true
		}
	}
	return false
}

// canAnswer reports whether a statement can write to a response.
func (p *pkg) canAnswer(s ast.Stmt) (found bool) {
	ast.Inspect(s, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			t := p.TypesInfo.TypeOf(id)
			found = found || isNamed(t, "net/http", "ResponseWriter") || t != nil && isFrameworkContext(t)
		}
		return !found
	})
	return found
}
