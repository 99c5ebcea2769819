package analyzer

import (
	"go/ast"
	"go/types"
	"maps"
	"strings"
)

// late finds calls that set a cookie after the response has begun.
func (p *pkg) late(fn ast.Node, body *ast.BlockStmt) {
	p.lateIn(body.List, map[types.Object]ast.Node{})
}

// lateIn goes through statements in order. begun has the responses that are written to
// on every path that leads there. What is written in a block that ends in a return does
// not count behind the block.
func (p *pkg) lateIn(list []ast.Stmt, begun map[types.Object]ast.Node) {
	for _, s := range list {
		blocks := blocksOf(s)
		if len(blocks) == 0 {
			p.order(s, begun)
			continue
		}
		switch s := s.(type) { // what stands before the braces
		case *ast.IfStmt:
			p.order(s.Init, begun)
			p.order(s.Cond, begun)
		case *ast.SwitchStmt:
			p.order(s.Init, begun)
			p.order(s.Tag, begun)
		}
		var after []map[types.Object]ast.Node
		for _, inner := range blocks {
			own := map[types.Object]ast.Node{}
			maps.Copy(own, begun)
			p.lateIn(inner, own)
			if !endsFlow(inner) {
				after = append(after, own)
			}
		}
		for _, own := range after {
			maps.Copy(begun, own)
		}
	}
}

// order looks at the calls of one statement or expression as they stand.
func (p *pkg) order(n ast.Node, begun map[types.Object]ast.Node) {
	switch v := n.(type) {
	case nil:
		return
	case ast.Stmt:
		if v == nil {
			return
		}
		if _, ok := v.(*ast.DeferStmt); ok {
			return
		}
	}
	ast.Inspect(n, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			return false
		}
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		call, ok := ast.Unparen(e).(*ast.CallExpr)
		if !ok {
			return true
		}
		for i, arg := range call.Args {
			if name := p.setter(call, i); name != "" {
				if w := p.response(arg); w != nil && begun[w] != nil {
					p.report(call.Pos(), "late", "%s sets a cookie, but the response has begun on line %d: call it before",
						name, p.Fset.Position(begun[w].Pos()).Line)
				}
			}
		}
		if w := p.writes(call); w != nil && begun[w] == nil {
			begun[w] = call
		}
		return true
	})
}

// setter returns the function of walkin's that sets a cookie on the i-th argument of a
// call: the one that is called, or one that is called in there.
func (p *pkg) setter(call *ast.CallExpr, i int) string {
	switch _, name := p.ourCall(call); name {
	case "Ensure", "Continue", "SignOut", "Bind", "StartFlow":
		return name
	case "":
		if fn := p.callee(call); fn != nil {
			if said, _ := p.saysOfFunc(fn); said.Sets>>i&1 != 0 {
				return said.Setter
			}
		}
	}
	return ""
}

// setsCookie returns which function of walkin's a body calls that sets a cookie on w.
func (p *pkg) setsCookie(body ast.Node, w types.Object) (name string) {
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			for i, arg := range call.Args {
				if setter := p.setter(call, i); setter != "" && p.response(arg) == w {
					name = setter
				}
			}
		}
		_, inner := n.(*ast.FuncLit)
		return !inner
	})
	return name
}

// response returns the variable that an expression is, where it is a response.
func (p *pkg) response(e ast.Expr) types.Object {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return nil
	}
	if t := p.TypesInfo.TypeOf(id); !isNamed(t, "net/http", "ResponseWriter") && !isFrameworkContext(t) {
		return nil
	}
	obj := p.TypesInfo.ObjectOf(id)
	if given := p.vars.given[obj]; len(given) == 1 { // another name of it
		if v, ok := obj.(*types.Var); ok && v.Kind() == types.LocalVar {
			if other, ok := given[0].(*ast.Ident); ok && p.TypesInfo.ObjectOf(other) != obj {
				return p.response(other)
			}
		}
	}
	return obj
}

// writes returns the response to which a call writes.
func (p *pkg) writes(call *ast.CallExpr) types.Object {
	fn := p.callee(call)
	if fn == nil {
		return nil
	}
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		if w := p.response(sel.X); w != nil {
			return p.methodWrites(w, fn.Name())
		}
		// json.NewEncoder(w).Encode(v), http.NewResponseController(w).Flush()
		if inner, ok := ast.Unparen(sel.X).(*ast.CallExpr); ok && (fn.Name() == "Encode" || fn.Name() == "Flush") && len(inner.Args) == 1 {
			return p.response(inner.Args[0])
		}
	}
	path, name := pathOf(fn), fn.Name()
	for i, arg := range call.Args {
		w := p.response(arg)
		switch {
		case w == nil:
		case path == "fmt" && strings.HasPrefix(name, "Fprint"),
			path == "io" && (name == "WriteString" || strings.HasPrefix(name, "Copy")),
			path == "net/http" && (name == "Error" || name == "Redirect" || name == "NotFound" || strings.HasPrefix(name, "ServeContent") || strings.HasPrefix(name, "ServeFile")),
			(path == "html/template" || path == "text/template") && strings.HasPrefix(name, "Execute"):
			return w
		default:
			if said, _ := p.saysOfFunc(fn); said.Writes>>i&1 != 0 {
				return w
			}
		}
	}
	return nil
}

func (p *pkg) methodWrites(w types.Object, name string) types.Object {
	switch name {
	case "Write", "WriteHeader", "WriteString", "Flush",
		"JSON", "IndentedJSON", "PureJSON", "SecureJSON", "XML", "YAML", "HTML", "String", "Data", "File", "Redirect", "Blob", "Stream", "NoContent", "Render", "Inline", "Attachment":
		return w
	}
	return nil
}

// alwaysWrites reports whether statements write to w on every way through. A write on one
// branch does not count: that branch may return after it.
func (p *pkg) alwaysWrites(list []ast.Stmt, w types.Object) bool {
	for _, whole := range list {
		var call ast.Expr
		stmt := whole
		if branch, ok := stmt.(*ast.IfStmt); ok {
			other, both := branch.Else.(*ast.BlockStmt)
			if both && p.alwaysWrites(branch.Body.List, w) && p.alwaysWrites(other.List, w) {
				return true
			}
			stmt = branch.Init // if err := page.Execute(w, data); err != nil
		}
		switch s := stmt.(type) {
		case *ast.ExprStmt:
			call = s.X
		case *ast.AssignStmt:
			call = s.Rhs[0]
		case *ast.ReturnStmt:
			if len(s.Results) == 1 {
				call = s.Results[0]
			}
		}
		if c, ok := call.(*ast.CallExpr); ok && p.writes(c) == w {
			return true
		} else if leaves(whole) {
			return false
		}
	}
	return false
}

// leaves reports whether a statement may return from the function.
func leaves(s ast.Stmt) (found bool) {
	if s == nil {
		return false
	}
	ast.Inspect(s, func(n ast.Node) bool {
		_, is := n.(*ast.ReturnStmt)
		_, inner := n.(*ast.FuncLit)
		found = found || is
		return !inner && !found
	})
	return found
}
