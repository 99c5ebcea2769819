package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/types/typeutil"
)

// variables says what each variable and each field is given, and how often it is read.
type variables struct {
	info  *types.Info
	given map[types.Object][]ast.Expr // nil is something that is not known
	reads map[types.Object]int
}

func (p *pkg) variables(files []*ast.File) *variables {
	v := &variables{info: p.TypesInfo, given: map[types.Object][]ast.Expr{}, reads: map[types.Object]int{}}
	for _, file := range files {
		ast.Inspect(file, v.collect)
	}
	return v
}

func (v *variables) give(id *ast.Ident, e ast.Expr) {
	obj := v.info.ObjectOf(id)
	v.given[obj] = append(v.given[obj], e)
}

func (v *variables) collect(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.Ident:
		if obj := v.info.Uses[n]; obj != nil {
			v.reads[obj]++
		}
	case *ast.AssignStmt:
		v.assign(n)
	case *ast.ValueSpec:
		for i, id := range n.Names {
			if i < len(n.Values) {
				v.give(id, n.Values[i])
			}
		}
	case *ast.KeyValueExpr:
		if id, ok := n.Key.(*ast.Ident); ok {
			v.give(id, n.Value)
		}
	case *ast.RangeStmt:
		for _, e := range []ast.Expr{n.Key, n.Value} {
			if id, ok := e.(*ast.Ident); ok {
				v.give(id, nil)
			}
		}
	case *ast.UnaryExpr: // an address, through which it will be set
		if id, ok := ast.Unparen(n.X).(*ast.Ident); ok && n.Op == token.AND {
			v.give(id, nil)
		}
	}
	return true
}

func (v *variables) assign(n *ast.AssignStmt) {
	blank := true
	for i, e := range n.Lhs {
		id, ok := e.(*ast.Ident)
		if ok && v.info.Uses[id] != nil {
			v.reads[v.info.Uses[id]]--
		}
		blank = blank && ok && id.Name == "_"
		if sel, field := e.(*ast.SelectorExpr); field {
			id, ok = sel.Sel, true
		}
		switch {
		case !ok || id.Name == "_":
		case len(n.Rhs) == len(n.Lhs) || i == 0:
			v.give(id, n.Rhs[min(i, len(n.Rhs)-1)])
		default:
			v.give(id, nil)
		}
	}
	for _, e := range n.Rhs { // _ = err reads nothing
		if id, ok := ast.Unparen(e).(*ast.Ident); ok && blank {
			v.reads[v.info.Uses[id]]--
		}
	}
}

// unread reports whether a local variable is never looked at.
func (v *variables) unread(obj types.Object) bool {
	local, ok := obj.(*types.Var)
	return ok && local.Kind() == types.LocalVar && v.reads[obj] == 0
}

// callee returns the function that a call calls, also by a variable that is given
// nothing else.
func (p *pkg) callee(call *ast.CallExpr) *types.Func {
	switch callee := typeutil.Callee(p.TypesInfo, call).(type) {
	case *types.Func:
		return callee.Origin()
	case *types.Var:
		if given := p.vars.given[callee]; len(given) == 1 && given[0] != nil {
			switch e := ast.Unparen(given[0]).(type) {
			case *ast.Ident:
				fn, _ := p.TypesInfo.Uses[e].(*types.Func)
				return fn
			case *ast.SelectorExpr:
				fn, _ := p.TypesInfo.Uses[e.Sel].(*types.Func)
				return fn
			}
		}
	}
	return nil
}
