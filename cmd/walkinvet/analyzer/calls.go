package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
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
	fn := p.callee(call)
	if fn == nil {
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
				p.assigned(n)
			case *ast.BlockStmt:
				p.overwritten(n.List)
			case *ast.CaseClause:
				p.overwritten(n.Body)
			case *ast.CommClause:
				p.overwritten(n.Body)
			case *ast.Ident:
				obj := p.TypesInfo.Uses[n]
				if room, ours := roomOf(pathOf(obj)); n.Name == "NewContext" && ours && room == "" && !isTest {
					p.report(n.Pos(), "newcontext", "NewContext makes claims up: outside of tests users come from Handler")
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
	call, name := p.errorOf(e)
	of := name
	if _, ours := p.ourCall(e); ours == "" && call != nil {
		of = p.callee(call).Name() + ", which is that of " + name + ","
	}
	switch name {
	case "Ensure", "Continue":
		p.report(call.Pos(), "error", "the error of %s is dropped: the request may have no user. Answer it with Refuse and return", of)
	case "SignOut", "SignOutEverywhere":
		p.report(call.Pos(), "error", "the error of %s is dropped: the visitor may still be signed in. Answer it with Refuse and return", of)
	}
}

// errorOf returns the function of walkin's whose error an expression returns: it calls
// that, or a function that hands the error on.
func (p *pkg) errorOf(e ast.Expr) (call *ast.CallExpr, name string) {
	call, name = p.ourCall(e)
	switch name {
	case "Ensure", "Continue", "SignOut", "SignOutEverywhere":
		return call, name
	}
	if call, ok := ast.Unparen(e).(*ast.CallExpr); ok {
		if fn := p.callee(call); fn != nil {
			said, _ := p.saysOfFunc(fn)
			return call, said.Hands
		}
	}
	return nil, ""
}

// assigned finds an error that goes to _, or to a variable that is never read.
func (p *pkg) assigned(n *ast.AssignStmt) {
	for i, e := range n.Rhs {
		target := n.Lhs[len(n.Lhs)-1]
		if len(n.Rhs) == len(n.Lhs) {
			target = n.Lhs[i]
		}
		if id, ok := target.(*ast.Ident); ok && (id.Name == "_" || p.vars.unread(p.TypesInfo.ObjectOf(id))) {
			p.dropped(e)
		}
	}
}

// overwritten finds an error whose variable is given another value before it is read.
func (p *pkg) overwritten(list []ast.Stmt) {
	for i, s := range list {
		n, ok := s.(*ast.AssignStmt)
		if !ok || len(n.Rhs) != 1 {
			continue
		}
		id, ok := n.Lhs[len(n.Lhs)-1].(*ast.Ident)
		if _, name := p.errorOf(n.Rhs[0]); !ok || name == "" || id.Name == "_" {
			continue
		}
		obj := p.TypesInfo.ObjectOf(id)
		for _, later := range list[i+1:] {
			if !p.uses(later, obj) {
				continue
			}
			if branch, ok := later.(*ast.IfStmt); ok && branch.Init != nil {
				later = branch.Init
			}
			if again, ok := later.(*ast.AssignStmt); ok && p.sets(again, obj) {
				p.dropped(n.Rhs[0])
			}
			break
		}
	}
}

func (p *pkg) uses(n ast.Node, obj types.Object) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && p.TypesInfo.ObjectOf(id) == obj
		return !found
	})
	return found
}

// sets reports whether an assignment gives a variable a value without reading it.
func (p *pkg) sets(n *ast.AssignStmt, obj types.Object) (found bool) {
	for _, e := range n.Rhs {
		if p.uses(e, obj) {
			return false
		}
	}
	for _, e := range n.Lhs {
		id, ok := e.(*ast.Ident)
		found = found || ok && p.TypesInfo.ObjectOf(id) == obj
	}
	return found
}

// turnsAway reports whether a call refuses the request: by Refuse, or by a function that
// calls it on its way and has no result that tells.
func (p *pkg) turnsAway(call *ast.CallExpr) (name string, ok bool) {
	if _, name := p.ourCall(call); name == "Refuse" || name == "RefuseForm" {
		return name, true
	}
	if fn := p.callee(call); fn != nil {
		said, _ := p.saysOfFunc(fn)
		return fn.Name(), said.Ends
	}
	return "", false
}

// deeds notes what a function does for its callers.
func (p *pkg) deeds(decl *ast.FuncDecl, s *says) {
	signature := p.funcOf(decl).Signature()
	for i, v := 0, signature.Params(); i < min(v.Len(), 64); i++ {
		if isNamed(v.At(i).Type(), "net/http", "ResponseWriter") || isFrameworkContext(v.At(i).Type()) {
			if p.alwaysWrites(decl.Body.List, v.At(i)) {
				s.Writes |= 1 << i
			}
			if name := p.setsCookie(decl.Body, v.At(i)); name != "" {
				s.Sets |= 1 << i
				s.Setter = name
			}
		}
	}
	if signature.Results().Len() == 0 {
		for _, stmt := range decl.Body.List {
			if e, ok := stmt.(*ast.ExprStmt); ok {
				if call, ok := ast.Unparen(e.X).(*ast.CallExpr); ok {
					_, refuses := p.turnsAway(call)
					s.Ends = s.Ends || refuses
				}
			}
		}
		return
	}
	ast.Inspect(decl.Body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) > 0 {
			last := r.Results[len(r.Results)-1]
			exprs := []ast.Expr{last}
			if id, ok := ast.Unparen(last).(*ast.Ident); ok { // err
				exprs = append(exprs, p.assignedWith(decl.Body, p.TypesInfo.ObjectOf(id))...)
			}
			for _, e := range exprs {
				if _, name := p.errorOf(e); name != "" && types.Identical(signature.Results().At(signature.Results().Len()-1).Type(), types.Universe.Lookup("error").Type()) {
					s.Hands = name
				}
			}
		}
		_, inner := n.(*ast.FuncLit)
		return !inner
	})
}

// assignedWith returns the calls whose last result a variable is given.
func (p *pkg) assignedWith(body ast.Node, obj types.Object) (out []ast.Expr) {
	ast.Inspect(body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Rhs) == 1 {
			if id, ok := a.Lhs[len(a.Lhs)-1].(*ast.Ident); ok && p.TypesInfo.ObjectOf(id) == obj {
				out = append(out, a.Rhs[0])
			}
		}
		return true
	})
	return out
}

// afterRefuse finds calls of Refuse after which the handler goes on. behind is what
// runs after the list, innermost first.
func (p *pkg) afterRefuse(list []ast.Stmt, behind [][]ast.Stmt) {
	for i, stmt := range list {
		rest := append([][]ast.Stmt{list[i+1:]}, behind...)
		if e, ok := stmt.(*ast.ExprStmt); ok {
			if call, ok := ast.Unparen(e.X).(*ast.CallExpr); ok {
				if name, ok := p.turnsAway(call); ok && p.goesOn(rest) {
					p.report(call.Pos(), "return", "the handler goes on after %s: return", name)
				}
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
