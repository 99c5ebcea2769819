package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// claims finds claims whose ok was dropped and whose Anonymous is read. A request
// without a user then passes for one of a permanent user. Behind a guard there is
// always a user.
func (p *pkg) claims(w *walker) {
	callers := p.callers()
	for _, file := range p.Files {
		if strings.HasSuffix(p.Fset.Position(file.Pos()).Filename, "_test.go") {
			continue
		}
		var stack []ast.Node
		ast.Inspect(file, func(n ast.Node) bool {
			if n == nil {
				stack = stack[:len(stack)-1]
				return true
			}
			stack = append(stack, n)
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Anonymous" && p.loses(sel.X) && !p.guarded(stack, w, callers) {
				p.report(sel.Pos(), "claims", "Anonymous is false without a user, too, and this function drops the ok that would tell: return it, too")
			}
			claims := p.withoutOK(n)
			if claims == nil || p.guarded(stack, w, callers) {
				return true
			}
			if at := p.readsAnonymous(outermost(stack), claims, 0); at.IsValid() {
				p.report(at, "claims", "%s.Anonymous is false without a user, too, and the ok that would tell was dropped on line %d: look at it first", claims.Name(), p.Fset.Position(n.Pos()).Line)
			}
			return true
		})
	}
}

// withoutOK returns the variable that an assignment gives claims without their ok.
func (p *pkg) withoutOK(n ast.Node) types.Object {
	assign, ok := n.(*ast.AssignStmt)
	if !ok || len(assign.Rhs) != 1 {
		return nil
	}
	id, _ := assign.Lhs[0].(*ast.Ident)
	if sel, ok := assign.Lhs[0].(*ast.SelectorExpr); ok {
		id = sel.Sel
	}
	if id == nil || id.Name == "_" {
		return nil
	}
	if len(assign.Lhs) == 1 && p.loses(assign.Rhs[0]) {
		return p.TypesInfo.ObjectOf(id)
	}
	results, _ := p.TypesInfo.TypeOf(assign.Rhs[0]).(*types.Tuple)
	if len(assign.Lhs) != 2 || results == nil || !isClaims(results.At(0).Type()) {
		return nil
	}
	if ok, is := assign.Lhs[1].(*ast.Ident); !is || ok.Name != "_" && !p.vars.unread(p.TypesInfo.ObjectOf(ok)) {
		return nil
	}
	if b, ok := results.At(1).Type().Underlying().(*types.Basic); !ok || b.Kind() != types.Bool {
		return nil
	}
	return p.TypesInfo.ObjectOf(id)
}

// loses reports whether an expression calls a function that returns claims alone.
func (p *pkg) loses(e ast.Expr) bool {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	fn, ok := typeutil.Callee(p.TypesInfo, call).(*types.Func)
	if !ok {
		return false
	}
	fn = fn.Origin()
	if decl := p.decls[fn]; decl != nil && len(call.Args) == 1 && fn.Signature().Params().Len() == 2 { // must(FromContext(ctx))
		of, _ := p.TypesInfo.TypeOf(call.Args[0]).(*types.Tuple)
		told := fn.Signature().Params().At(1)
		return of != nil && isClaims(of.At(0).Type()) && isClaims(p.TypesInfo.TypeOf(call)) &&
			(told.Name() == "" || told.Name() == "_" || p.vars.reads[told] == 0)
	}
	said, _ := p.saysOfFunc(fn)
	return said.Loses
}

func outermost(stack []ast.Node) ast.Node {
	for _, n := range stack {
		switch n.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
			return n
		}
	}
	return stack[0]
}

// guarded reports whether the function around an expression is reached through guards
// alone.
func (p *pkg) guarded(stack []ast.Node, w *walker, callers map[*ast.FuncDecl][]ast.Node) bool {
	for i := len(stack) - 1; i >= 0; i-- {
		switch fn := stack[i].(type) {
		case *ast.FuncLit:
			if r, ok := w.reached[fn]; ok {
				return r.guarded && !r.open
			}
		case *ast.FuncDecl:
			return p.guardedDecl(fn, w, callers, map[*ast.FuncDecl]bool{})
		}
	}
	return false
}

func (p *pkg) guardedDecl(fn *ast.FuncDecl, w *walker, callers map[*ast.FuncDecl][]ast.Node, seen map[*ast.FuncDecl]bool) bool {
	if seen[fn] {
		return true
	}
	seen[fn] = true
	r, reached := w.reached[fn]
	if r.open {
		return false
	}
	for _, caller := range callers[fn] {
		switch caller := caller.(type) {
		case *ast.FuncLit:
			if by := w.reached[caller]; !by.guarded || by.open {
				return false
			}
		case *ast.FuncDecl:
			if !p.guardedDecl(caller, w, callers, seen) {
				return false
			}
		}
	}
	return reached || len(callers[fn]) > 0
}

// callers returns, for each function of the package, the functions that call it. A
// caller is the literal that is a handler of its own, if there is one, or else the
// declaration.
func (p *pkg) callers() map[*ast.FuncDecl][]ast.Node {
	out := map[*ast.FuncDecl][]ast.Node{}
	for _, decl := range p.decls {
		if decl.Body == nil {
			continue
		}
		var walk func(in ast.Node, by ast.Node)
		walk = func(in ast.Node, by ast.Node) {
			ast.Inspect(in, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncLit:
					if handlerLike(p.TypesInfo.TypeOf(n)) && ast.Node(n) != by {
						walk(n.Body, n)
						return false
					}
				case *ast.CallExpr:
					if fn, ok := typeutil.Callee(p.TypesInfo, n).(*types.Func); ok && p.decls[fn.Origin()] != nil {
						callee := p.decls[fn.Origin()]
						out[callee] = append(out[callee], by)
					}
				}
				return true
			})
		}
		walk(decl.Body, decl)
	}
	return out
}

// readsAnonymous returns where a function, or one that it hands them to, reads Anonymous
// of claims, unless it checks in another way that there are any.
func (p *pkg) readsAnonymous(fn ast.Node, claims types.Object, depth int) (at token.Pos) {
	is := func(e ast.Expr) bool {
		switch e := ast.Unparen(e).(type) {
		case *ast.Ident:
			return p.TypesInfo.ObjectOf(e) == claims
		case *ast.SelectorExpr:
			return p.TypesInfo.ObjectOf(e.Sel) == claims
		}
		return false
	}
	of := func(e ast.Expr, field string) bool {
		sel, ok := ast.Unparen(e).(*ast.SelectorExpr)
		return ok && sel.Sel.Name == field && is(sel.X)
	}
	asked := false
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if of(n, "Anonymous") {
				first(&at, n.Pos())
			}
		case *ast.BinaryExpr:
			for _, side := range []ast.Expr{n.X, n.Y} {
				asked = asked || (n.Op == token.EQL || n.Op == token.NEQ) && (is(side) || of(side, "UserID") || of(side, "SessionID") || of(side, "Method"))
			}
		case *ast.CallExpr:
			callee, _ := typeutil.Callee(p.TypesInfo, n).(*types.Func)
			if callee == nil || p.decls[callee.Origin()] == nil || depth > 3 {
				return true
			}
			params := callee.Origin().Signature().Params()
			for i, arg := range n.Args {
				if is(arg) && i < params.Len() && p.readsAnonymous(p.decls[callee.Origin()], params.At(i), depth+1).IsValid() {
					first(&at, n.Pos())
				}
			}
		}
		return true
	})
	if asked {
		return token.NoPos
	}
	return at
}
