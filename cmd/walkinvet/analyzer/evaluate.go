package analyzer

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
)

const (
	maxDepth = 40     // of calls within calls
	maxSteps = 400000 // of statements and expressions: a package that needs more is given up
)

// An evaluator walks through the functions that set a site up, with the routers and
// handlers they make, as far as the source tells. It takes each branch and each loop
// once. It never runs anything.
type evaluator struct {
	*pkg
	globals map[types.Object]value
	fields  map[*types.Var]value // of all values of a struct together
	served  *served
	returns *[][]value
	named   *types.Tuple // the results of the function that returns
	running map[ast.Node]bool
	roots   []*node // where requests may enter: Handlers and routers
	sinks   []*node // what is served
	depth   int
	steps   int
}

func (ev *evaluator) frame(up *env) *env { return &env{vars: map[types.Object]value{}, up: up} }

func (ev *evaluator) field(f *types.Var) value {
	if f == nil {
		return nil
	}
	v, ok := ev.fields[f]
	if !ok {
		if fw, is := frameworkOf(f.Type()); is {
			// Set elsewhere, perhaps later: all who use the field mean this one.
			r := ev.newRouter(fw, f.Pos())
			r.Group = namedOf(f.Type()).Obj().Name() == "Group"
			v = r
			ev.fields[f] = v
		}
	}
	return v
}

func (ev *evaluator) newRouter(fw framework, pos token.Pos) *router {
	r := &router{Framework: fw}
	n := wrap(mux, pos)
	n.Router = r
	ev.roots = append(ev.roots, n)
	return r
}

func (ev *evaluator) eval(e ast.Expr, in *env) value {
	if ev.steps++; ev.steps > maxSteps || e == nil {
		return nil
	}
	if v := plain(ev.TypesInfo.Types[e]); v != nil {
		return v
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return ev.eval(e.X, in)
	case *ast.StarExpr:
		return ev.eval(e.X, in)
	case *ast.UnaryExpr:
		v := ev.eval(e.X, in)
		if b, ok := v.(truth); ok && e.Op == token.NOT {
			return !b
		}
		return v
	case *ast.TypeAssertExpr:
		return ev.eval(e.X, in)
	case *ast.SliceExpr:
		return ev.eval(e.X, in)
	case *ast.BinaryExpr:
		return ev.binary(e, in)
	case *ast.IndexExpr:
		return ev.index(e, in)
	case *ast.IndexListExpr:
		return ev.eval(e.X, in)
	case *ast.Ident:
		return ev.ident(e, in)
	case *ast.SelectorExpr:
		return ev.selection(e, in)
	case *ast.CompositeLit:
		return ev.composite(e, in)
	case *ast.FuncLit:
		return &closure{fn: e, env: in}
	case *ast.CallExpr:
		return ev.single(ev.call(e, in))
	}
	return nil
}

// plain is a constant, or nil.
func plain(t types.TypeAndValue) value {
	switch {
	case t.IsNil():
		return zero{}
	case t.Value == nil:
	case t.Value.Kind() == constant.String:
		return text(constant.StringVal(t.Value))
	case t.Value.Kind() == constant.Bool:
		return truth(constant.BoolVal(t.Value))
	case t.Value.Kind() == constant.Int:
		if n, exact := constant.Int64Val(t.Value); exact {
			return number(n)
		}
	}
	return nil
}

func (ev *evaluator) binary(e *ast.BinaryExpr, in *env) value {
	x, y := ev.eval(e.X, in), ev.eval(e.Y, in)
	switch e.Op {
	case token.EQL, token.NEQ:
		if same, ok := equal(x, y); ok {
			return truth(same == (e.Op == token.EQL))
		}
		return nil
	case token.LAND, token.LOR:
		decides := truth(e.Op == token.LOR)
		if x == decides || y == decides {
			return decides
		} else if x == !decides && y == !decides {
			return !decides
		}
		return nil
	}
	return concat(ev, e, x, y)
}

func concat(ev *evaluator, e *ast.BinaryExpr, x, y value) value {
	t, ok := types.Unalias(ev.TypesInfo.TypeOf(e)).Underlying().(*types.Basic)
	if e.Op != token.ADD || !ok || t.Info()&types.IsString == 0 {
		return nil
	}
	part := func(v value) text {
		if s, ok := v.(text); ok {
			return s
		}
		return "…"
	}
	return part(x) + part(y)
}

func (ev *evaluator) index(e *ast.IndexExpr, in *env) value {
	v, ok := ev.eval(e.X, in).(*listed)
	if !ok {
		return nil
	}
	key := ev.eval(e.Index, in)
	for i, k := range v.keys {
		switch key.(type) {
		case text, number:
			if k == key {
				return v.elems[i]
			}
		}
	}
	if i := ev.TypesInfo.Types[e.Index].Value; i != nil && i.Kind() == constant.Int {
		if at, exact := constant.Int64Val(i); exact && at >= 0 && at < int64(len(v.elems)) {
			return v.elems[at]
		}
	}
	return v // one of them
}

func (ev *evaluator) ident(e *ast.Ident, in *env) value {
	obj := ev.TypesInfo.ObjectOf(e)
	switch obj := obj.(type) {
	case *types.Func:
		return ev.function(obj, nil)
	case *types.Var:
		if v, ok := in.lookup(obj); ok {
			return v
		}
		return ev.globals[obj]
	}
	return nil
}

func (ev *evaluator) function(fn *types.Func, recv value) value {
	fn = fn.Origin()
	if decl := ev.decls[fn]; decl != nil && decl.Body != nil {
		return &closure{fn: decl, env: ev.frame(nil), recv: recv}
	}
	return &external{fn: fn, recv: recv}
}

func (ev *evaluator) selection(e *ast.SelectorExpr, in *env) value {
	sel := ev.TypesInfo.Selections[e]
	if sel == nil { // a name of another package
		switch obj := ev.TypesInfo.Uses[e.Sel].(type) {
		case *types.Func:
			return ev.methodValue(obj, nil, e)
		case *types.Var:
			return ev.global(obj, e.Pos())
		}
		return nil
	}
	recv := ev.eval(e.X, in)
	switch obj := sel.Obj().(type) {
	case *types.Var:
		if r, ok := recv.(record); ok {
			if v, ok := r.fields[obj.Name()]; ok {
				return v
			}
		}
		return ev.field(obj)
	case *types.Func:
		if _, known := recv.(*router); !known && len(sel.Index()) > 1 {
			recv = ev.field(embedded(sel.Recv(), sel.Index()))
		}
		return ev.methodValue(concrete(obj, recv), recv, e)
	}
	return nil
}

// concrete returns the method that an interface's stands for, where the value in it is
// known.
func concrete(fn *types.Func, recv value) *types.Func {
	r, ok := recv.(record)
	if s := fn.Signature().Recv(); !ok || r.named == nil || s == nil || !types.IsInterface(s.Type()) {
		return fn
	}
	obj, _, _ := types.LookupFieldOrMethod(types.NewPointer(r.named), true, fn.Pkg(), fn.Name())
	if m, ok := obj.(*types.Func); ok {
		return m.Origin()
	}
	return fn
}

// global is a variable of another package: the mux that net/http serves by default,
// or one whose routes are registered there.
func (ev *evaluator) global(obj *types.Var, pos token.Pos) value {
	v, ok := ev.globals[obj]
	if fw, is := frameworkOf(obj.Type()); is && !ok {
		v = ev.newRouter(fw, pos)
		ev.globals[obj] = v
	}
	return v
}

// methodValue is a function or method as a value: wk.Handler is a middleware.
func (ev *evaluator) methodValue(fn *types.Func, recv value, at ast.Node) value {
	room, ours := roomOf(pathOf(fn))
	if !ours {
		if fn.Name() == "ServeHTTP" && recv != nil {
			return recv // as http.HandlerFunc(mux.ServeHTTP)
		}
		return ev.function(fn, recv)
	}
	switch {
	case room == "" && takesIn(fn.Name()):
		return middleware{wrap(site, at.Pos(), wrap(hole, token.NoPos))}
	case middlewareLike(fn.Type()):
		return middleware{wrap(pass, at.Pos(), wrap(hole, token.NoPos))}
	case handlerLike(fn.Type()):
		return wrap(own, at.Pos())
	}
	return &external{fn: fn, recv: recv}
}

func (ev *evaluator) composite(e *ast.CompositeLit, in *env) value {
	t := ev.TypesInfo.TypeOf(e)
	if p, ok := types.Unalias(t).Underlying().(*types.Pointer); ok {
		t = p.Elem() // in a list of pointers
	}
	s, ok := types.Unalias(t).Underlying().(*types.Struct)
	if !ok {
		list := &listed{}
		for _, elem := range e.Elts {
			var key value
			if kv, ok := elem.(*ast.KeyValueExpr); ok {
				key, elem = ev.eval(kv.Key, in), kv.Value
			}
			v := ev.eval(elem, in)
			if row, ok := v.(record); ok {
				row.complete()
			}
			list.keys, list.elems = append(list.keys, key), append(list.elems, v)
		}
		return list
	}
	out := record{named: namedOf(t), fields: map[string]value{}}
	for f := range s.Fields() { // a list that is not given is empty, whatever other values have
		if list, ok := types.Unalias(f.Type()).Underlying().(*types.Slice); ok && middlewareLike(list.Elem()) {
			out.fields[f.Name()] = &listed{}
		}
	}
	for i, elem := range e.Elts {
		field := (*types.Var)(nil)
		if kv, ok := elem.(*ast.KeyValueExpr); ok {
			field, _ = ev.TypesInfo.ObjectOf(kv.Key.(*ast.Ident)).(*types.Var)
			elem = kv.Value
		} else if i < s.NumFields() {
			field = s.Field(i)
		}
		if field != nil {
			out.fields[field.Name()] = ev.store(field, elem, in)
		}
	}
	return out
}

// complete gives a row of a table the zero value in each field that it leaves out.
func (r record) complete() {
	if r.named == nil {
		return
	}
	s, ok := r.named.Underlying().(*types.Struct)
	for i := 0; ok && i < s.NumFields(); i++ {
		f := s.Field(i)
		if _, given := r.fields[f.Name()]; given {
			continue
		}
		switch t := types.Unalias(f.Type()).Underlying().(type) {
		case *types.Basic:
			if t.Info()&types.IsBoolean != 0 {
				r.fields[f.Name()] = truth(false)
			} else if t.Info()&types.IsInteger != 0 {
				r.fields[f.Name()] = number(0)
			} else if t.Info()&types.IsString != 0 {
				r.fields[f.Name()] = text("")
			}
		case *types.Signature, *types.Slice, *types.Interface, *types.Pointer, *types.Map:
			r.fields[f.Name()] = zero{}
		}
	}
}

// store is an assignment to a field.
func (ev *evaluator) store(field *types.Var, e ast.Expr, in *env) value {
	v := ev.eval(e, in)
	if c, ok := v.(*closure); ok && !handlerLike(ev.TypesInfo.TypeOf(e)) && !middlewareLike(ev.TypesInfo.TypeOf(e)) {
		ev.invoke(c, nil, e) // a command's RunE, for one
	}
	if flows(v) {
		ev.fields[field] = v
	}
	if field.Name() == "Handler" && pathOf(field) == "net/http" {
		ev.sinks = append(ev.sinks, ev.asNode(v, ev.TypesInfo.TypeOf(e), e))
	}
	return v
}
