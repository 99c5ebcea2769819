package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
)

// invoke walks through a function that is called with args, and returns its results.
// Further arguments, and nil, are not known.
func (ev *evaluator) invoke(c *closure, args []value, at ast.Node) []value {
	body := bodyOf(c.fn)
	if body == nil || ev.running[c.fn] || ev.depth > maxDepth || ev.steps > maxSteps {
		return nil
	}
	ev.running[c.fn] = true
	ev.depth++
	in := ev.frame(c.env)
	ev.bind(c, args, in)
	outer := ev.returns
	var returns [][]value
	named := ev.named
	ev.returns, ev.named = &returns, nil
	if s := ev.signature(c.fn); s != nil {
		ev.named = s.Results()
	}
	ev.block(body.List, in)
	ev.returns, ev.named = outer, named
	ev.depth--
	delete(ev.running, c.fn)

	// The last return that says something, for each result. A plain value has to be
	// that of all.
	s := ev.signature(c.fn)
	if s == nil {
		return nil
	}
	results := make([]value, s.Results().Len())
	for at, r := range returns {
		for i, v := range r {
			switch {
			case i >= len(results):
			case flows(v):
				results[i] = v
			case at == 0:
				results[i] = v
			case !flows(results[i]) && results[i] != v:
				results[i] = nil
			}
		}
	}
	return results
}

func (ev *evaluator) bind(c *closure, args []value, in *env) {
	s := ev.signature(c.fn)
	if s == nil {
		return
	}
	if decl, ok := c.fn.(*ast.FuncDecl); ok && decl.Recv != nil && len(decl.Recv.List[0].Names) == 1 {
		in.vars[ev.TypesInfo.Defs[decl.Recv.List[0].Names[0]]] = c.recv
	}
	for i := range s.Params().Len() {
		var v value
		if i < len(args) {
			v = args[i]
		}
		if s.Variadic() && i == s.Params().Len()-1 {
			if list, ok := v.(*listed); ok {
				v = list
			}
		}
		in.vars[s.Params().At(i)] = v
	}
}

// block reports whether it is certain that what follows is not reached.
func (ev *evaluator) block(list []ast.Stmt, in *env) (ends bool) {
	for _, s := range list {
		if ev.exec(s, in) {
			return true
		}
	}
	return false
}

func (ev *evaluator) exec(s ast.Stmt, in *env) (ends bool) {
	if ev.steps++; ev.steps > maxSteps {
		return false
	}
	switch s := s.(type) {
	case *ast.ExprStmt:
		ev.eval(s.X, in)
	case *ast.GoStmt:
		ev.eval(s.Call, in)
	case *ast.DeferStmt:
		ev.eval(s.Call, in)
	case *ast.SendStmt:
		ev.eval(s.Value, in)
	case *ast.AssignStmt:
		ev.assign(s.Lhs, s.Rhs, in)
	case *ast.DeclStmt:
		ev.declare(s.Decl, in)
	case *ast.ReturnStmt:
		ev.result(s, in)
		return true
	case *ast.BranchStmt:
		return s.Tok == token.CONTINUE || s.Tok == token.BREAK
	case *ast.BlockStmt:
		return ev.block(s.List, in)
	case *ast.IfStmt:
		return ev.branch(s, in)
	case *ast.ForStmt:
		ev.optional(s.Init, in)
		ev.block(s.Body.List, in)
	case *ast.RangeStmt:
		ev.loop(s, in)
	case *ast.SwitchStmt:
		ev.cases(s, in)
	case *ast.TypeSwitchStmt:
		ev.optional(s.Init, in)
		ev.block(s.Body.List, in)
	case *ast.SelectStmt:
		ev.block(s.Body.List, in)
	case *ast.CaseClause:
		ev.block(s.Body, in)
	case *ast.CommClause:
		ev.optional(s.Comm, in)
		ev.block(s.Body, in)
	case *ast.LabeledStmt:
		return ev.exec(s.Stmt, in)
	}
	return false
}

// branch takes the side that is known, or both.
func (ev *evaluator) branch(s *ast.IfStmt, in *env) (ends bool) {
	ev.optional(s.Init, in)
	known, ok := ev.eval(s.Cond, in).(truth)
	body := (!ok || bool(known)) && ev.block(s.Body.List, in)
	if ok && bool(known) || s.Else == nil {
		return body && ok
	}
	return ev.exec(s.Else, in) && (body || ok)
}

// cases takes the clause that is known, or all that may be.
func (ev *evaluator) cases(s *ast.SwitchStmt, in *env) {
	ev.optional(s.Init, in)
	var tag value = truth(true)
	if s.Tag != nil {
		tag = ev.eval(s.Tag, in)
	}
	var otherwise *ast.CaseClause
	for _, clause := range s.Body.List {
		clause := clause.(*ast.CaseClause)
		if clause.List == nil {
			otherwise = clause
			continue
		}
		may := false
		for _, e := range clause.List {
			same, ok := equal(tag, ev.eval(e, in))
			if same && ok {
				ev.block(clause.Body, in)
				return
			}
			may = may || !ok
		}
		if may {
			ev.block(clause.Body, in)
		}
	}
	if otherwise != nil {
		ev.block(otherwise.Body, in)
	}
}

func (ev *evaluator) optional(s ast.Stmt, in *env) {
	if s != nil {
		ev.exec(s, in)
	}
}

func (ev *evaluator) result(s *ast.ReturnStmt, in *env) {
	var out []value
	if len(s.Results) == 0 && ev.named != nil { // the named results
		for v := range ev.named.Variables() {
			named, _ := in.lookup(v)
			out = append(out, named)
		}
	} else if len(s.Results) == 1 {
		if call, ok := ast.Unparen(s.Results[0]).(*ast.CallExpr); ok {
			out = ev.call(call, in)
		} else {
			out = []value{ev.eval(s.Results[0], in)}
		}
	} else {
		for _, e := range s.Results {
			out = append(out, ev.eval(e, in))
		}
	}
	if ev.returns != nil {
		*ev.returns = append(*ev.returns, out)
	}
}

func (ev *evaluator) declare(d ast.Decl, in *env) {
	decl, ok := d.(*ast.GenDecl)
	if !ok || decl.Tok != token.VAR {
		return
	}
	for _, spec := range decl.Specs {
		spec := spec.(*ast.ValueSpec)
		var names []ast.Expr
		for _, n := range spec.Names {
			names = append(names, n)
		}
		if len(spec.Values) > 0 {
			ev.assign(names, spec.Values, in)
			continue
		}
		for _, n := range spec.Names { // var mux http.ServeMux
			obj, t := ev.TypesInfo.Defs[n], ev.TypesInfo.TypeOf(n)
			_, pointer := types.Unalias(t).(*types.Pointer)
			if fw, ok := frameworkOf(t); ok && !types.IsInterface(t) && !pointer {
				ev.put(n, ev.newRouter(fw, n.Pos()), in)
			} else if obj.Parent() != ev.Pkg.Scope() { // a global may have been set elsewhere
				ev.put(n, nil, in)
			}
		}
	}
}

func (ev *evaluator) assign(lhs, rhs []ast.Expr, in *env) {
	var values []value
	if len(rhs) == 1 && len(lhs) > 1 {
		if call, ok := ast.Unparen(rhs[0]).(*ast.CallExpr); ok {
			values = ev.call(call, in)
		} else {
			values = []value{ev.eval(rhs[0], in)}
		}
	} else {
		for i, e := range rhs {
			if sel, ok := lhs[i].(*ast.SelectorExpr); ok {
				if f, ok := ev.TypesInfo.ObjectOf(sel.Sel).(*types.Var); ok && f.IsField() {
					ev.keep(sel, f, ev.store(f, e, in), in)
					values = append(values, nil)
					continue
				}
			}
			values = append(values, ev.eval(e, in))
		}
	}
	for i, target := range lhs {
		if i < len(values) {
			ev.put(target, values[i], in)
		}
	}
}

// keep puts a field into the struct that holds it, where that is known.
func (ev *evaluator) keep(sel *ast.SelectorExpr, f *types.Var, v value, in *env) {
	if r, ok := ev.eval(sel.X, in).(record); ok {
		if !flows(v) {
			v = nil
		}
		r.fields[f.Name()] = v
	}
}

func (ev *evaluator) put(target ast.Expr, v value, in *env) {
	switch target := ast.Unparen(target).(type) {
	case *ast.Ident:
		obj := ev.TypesInfo.ObjectOf(target)
		if obj == nil || target.Name == "_" {
			return
		}
		if !flows(v) {
			v = nil // a flag may have been set in a branch that was not taken
		}
		if obj.Parent() == ev.Pkg.Scope() {
			ev.globals[obj] = v
			return
		}
		in.set(obj, v)
	case *ast.SelectorExpr:
		if f, ok := ev.TypesInfo.ObjectOf(target.Sel).(*types.Var); ok && flows(v) && f.IsField() {
			ev.fields[f] = v
			ev.keep(target, f, v, in)
		}
	case *ast.IndexExpr:
		if list, ok := ev.eval(target.X, in).(*listed); ok && flows(v) {
			list.keys, list.elems = append(list.keys, ev.eval(target.Index, in)), append(list.elems, v)
		}
	}
}

// loop goes through a list element by element if the elements are known, and otherwise
// once.
func (ev *evaluator) loop(s *ast.RangeStmt, in *env) {
	list, ok := ev.eval(s.X, in).(*listed)
	if !ok || len(list.elems) == 0 {
		ev.block(s.Body.List, in)
		return
	}
	for i, elem := range list.elems {
		if s.Key != nil {
			ev.put(s.Key, list.keys[i], in)
		}
		if s.Value != nil {
			ev.put(s.Value, elem, in)
		}
		ev.block(s.Body.List, in)
	}
}
