package analyzer

import (
	"go/ast"
	"go/types"
	"maps"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
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
		call, name := p.ourCall(e)
		switch name {
		case "Ensure", "Continue", "SignOut", "Bind", "StartFlow":
			for _, arg := range call.Args {
				if w := p.response(arg); w != nil && begun[w] != nil {
					p.report(call.Pos(), "late", "%s sets a cookie, but the response has begun on line %d: call it before",
						name, p.Fset.Position(begun[w].Pos()).Line)
				}
			}
			return true
		}
		if call, ok := n.(*ast.CallExpr); ok {
			if w := p.writes(call, 0); w != nil && begun[w] == nil {
				begun[w] = call
			}
		}
		return true
	})
}

// response returns the variable that an expression is, where it is a response.
func (p *pkg) response(e ast.Expr) types.Object {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return nil
	}
	if t := p.TypesInfo.TypeOf(id); isNamed(t, "net/http", "ResponseWriter") || isFrameworkContext(t) {
		return p.TypesInfo.ObjectOf(id)
	}
	return nil
}

// writes returns the response to which a call writes.
func (p *pkg) writes(call *ast.CallExpr, depth int) types.Object {
	fn, _ := typeutil.Callee(p.TypesInfo, call).(*types.Func)
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
			if decl := p.decls[fn.Origin()]; decl != nil && depth < 3 && p.alwaysWrites(decl, i, depth) {
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

// alwaysWrites reports whether a function writes to its i-th parameter in a statement
// of its own body. A write on a branch does not count: the branch may return after it.
func (p *pkg) alwaysWrites(decl *ast.FuncDecl, i, depth int) bool {
	s := p.funcOf(decl).Signature()
	if decl.Body == nil || i >= s.Params().Len() {
		return false
	}
	for _, stmt := range decl.Body.List {
		var call ast.Expr
		if branch, ok := stmt.(*ast.IfStmt); ok {
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
		if c, ok := call.(*ast.CallExpr); ok && p.writes(c, depth+1) == s.Params().At(i) {
			return true
		}
	}
	return false
}
