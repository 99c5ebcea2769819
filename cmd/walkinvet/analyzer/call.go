package analyzer

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// call is what a call returns, and does to routers.
func (ev *evaluator) call(call *ast.CallExpr, in *env) []value {
	if ev.steps++; ev.steps > maxSteps {
		return nil
	}
	if ev.TypesInfo.Types[call.Fun].IsType() { // http.HandlerFunc(f)
		return []value{ev.eval(call.Args[0], in)}
	}
	switch callee := typeutil.Callee(ev.TypesInfo, call).(type) {
	case *types.Builtin:
		return []value{ev.builtin(callee.Name(), call, in)}
	case *types.Func:
		return ev.callFunc(callee.Origin(), call, in)
	}
	return ev.callValue(ev.eval(call.Fun, in), call, in)
}

func (ev *evaluator) builtin(name string, call *ast.CallExpr, in *env) value {
	switch name {
	case "append":
		out := &listed{}
		if old, ok := ev.eval(call.Args[0], in).(*listed); ok {
			out.keys, out.elems = slices.Clone(old.keys), slices.Clone(old.elems)
		}
		for _, v := range ev.args(call.Args[1:], call.Ellipsis.IsValid(), in) {
			out.keys, out.elems = append(out.keys, nil), append(out.elems, v)
		}
		return out
	case "make":
		return &listed{}
	case "new":
		if fw, ok := frameworkOf(ev.TypesInfo.TypeOf(call)); ok {
			return ev.newRouter(fw, call.Pos())
		}
	}
	return nil
}

// args evaluates arguments; a last one with an ellipsis is spread.
func (ev *evaluator) args(list []ast.Expr, spread bool, in *env) (out []value) {
	for i, e := range list {
		v := ev.eval(e, in)
		if all, ok := v.(*listed); ok && spread && i == len(list)-1 {
			out = append(out, all.elems...)
			continue
		} else if _, none := v.(zero); none && spread && i == len(list)-1 {
			continue
		}
		out = append(out, v)
	}
	return out
}

func (ev *evaluator) callFunc(fn *types.Func, call *ast.CallExpr, in *env) []value {
	recv := ev.receiver(call, in)
	fn = concrete(fn, recv)
	sel, _ := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if s := fn.Signature(); s.Recv() != nil && sel != nil {
		t := ev.TypesInfo.TypeOf(sel.X)
		fw, ok := frameworkOf(s.Recv().Type())
		if !ok {
			fw, ok = frameworkOf(t)
		}
		if ok {
			r, known := recv.(*router)
			if !known {
				r = &router{Framework: fw} // not one that is known to be served
			}
			return []value{ev.route(r, fn.Name(), call, in)}
		}
		if chain, ok := recv.(chained); ok {
			return []value{ev.chain(chain, fn.Name(), call, in)}
		}
		if fn.Name() == "ServeHTTP" {
			ev.serve(ev.asNode(recv, t, sel.X), call.Pos())
			return nil
		}
	}
	if room, ours := roomOf(pathOf(fn)); ours {
		return []value{ev.callOurs(room, fn, call, in)}
	}
	if v, ok := ev.callHTTP(fn, call, in); ok {
		return []value{v}
	}
	if decl := ev.decls[fn]; decl != nil {
		args := ev.packed(fn.Signature(), call, in)
		if ev.relevant[decl] {
			return ev.invoke(&closure{fn: decl, env: ev.frame(nil), recv: recv}, args, call)
		}
		return nil
	}
	var fact summary
	if fn.Pkg() != nil && fn.Pkg() != ev.Pkg && ev.ImportObjectFact(fn, &fact) {
		return ev.fromSummary(fn, fact, ev.packed(fn.Signature(), call, in), call)
	}
	return ev.callElsewhere(fn, call, in)
}

func (ev *evaluator) receiver(call *ast.CallExpr, in *env) value {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	s := ev.TypesInfo.Selections[sel]
	if s == nil {
		return nil
	}
	recv := ev.eval(sel.X, in)
	if _, known := recv.(*router); !known && len(s.Index()) > 1 {
		f := embedded(s.Recv(), s.Index())
		if r, ok := recv.(record); ok && r.fields[f.Name()] != nil {
			return r.fields[f.Name()]
		}
		return ev.field(f)
	}
	return recv
}

// packed evaluates arguments for a function's parameters. All variadic arguments are
// one.
func (ev *evaluator) packed(s *types.Signature, call *ast.CallExpr, in *env) []value {
	args := ev.args(call.Args, call.Ellipsis.IsValid(), in)
	if n := s.Params().Len(); s.Variadic() && len(args) >= n-1 {
		rest := args[n-1:]
		args = append(slices.Clone(args[:n-1]), &listed{keys: make([]value, len(rest)), elems: rest})
	}
	return args
}

// callValue calls a function that is held in a variable, a field or a parameter.
func (ev *evaluator) callValue(fun value, call *ast.CallExpr, in *env) []value {
	t := ev.TypesInfo.TypeOf(call.Fun)
	if method, ok := fun.(*external); ok { // register := mux.HandleFunc
		if r, ok := method.recv.(*router); ok {
			return []value{ev.route(r, method.fn.Name(), call, in)}
		}
	}
	if middlewareLike(t) && len(call.Args) == 1 {
		inner := ev.asNode(ev.eval(call.Args[0], in), ev.TypesInfo.TypeOf(call.Args[0]), call.Args[0])
		n := ev.apply(fun, t, inner, call)
		ev.roots = append(ev.roots, n) // Handler may be it, or within
		return []value{n}
	}
	if handlerLike(t) { // next(w, r)
		if flows(fun) {
			ev.serve(ev.asNode(fun, t, call), call.Pos())
		}
		return nil
	}
	switch fun := fun.(type) {
	case *closure:
		ev.hear(ev.saysOf(fun.fn))
		return ev.invoke(fun, ev.packed(ev.signature(fun.fn), call, in), call)
	case *external:
		if said, ok := ev.saysOfFunc(fun.fn); ok {
			ev.hear(said)
		}
		return ev.callElsewhere(fun.fn, call, in)
	}
	for _, v := range ev.args(call.Args, false, in) {
		ev.run(v, call)
	}
	return nil
}

// takesIn reports whether a method of Middleware's says who sends a request:
// WithoutCookies is in place of Handler.
func takesIn(name string) bool { return name == "Handler" || name == "WithoutCookies" }

// callOurs is a call of walkin's own: known by name and type.
func (ev *evaluator) callOurs(room string, fn *types.Func, call *ast.CallExpr, in *env) value {
	args := ev.args(call.Args, call.Ellipsis.IsValid(), in)
	adapter, name := strings.HasPrefix(room, "adapters/"), fn.Name()
	around := func(k kind) *node {
		n := wrap(k, call.Pos(), wrap(hole, call.Pos()))
		n.Name = name
		return n
	}
	node := func() *node { return ev.asNode(args[0], ev.TypesInfo.TypeOf(call.Args[0]), call.Args[0]) }
	t := ev.TypesInfo.TypeOf(call)
	switch {
	case room == "" && takesIn(name) && len(args) == 1:
		n := wrap(site, call.Pos(), node())
		ev.roots = append(ev.roots, n)
		return n
	case adapter && name == "Handler":
		return middleware{around(site)}
	case strings.HasPrefix(name, "Require"):
		return middleware{around(guard)}
	case adapter && (name == "Wrap" || name == "WrapMiddleware") && len(args) == 1:
		return middleware{ev.apply(args[0], ev.TypesInfo.TypeOf(call.Args[0]), wrap(hole, call.Pos()), call)}
	case adapter && (name == "WrapH" || name == "WrapHandler") && len(args) == 1:
		return node()
	case middlewareLike(t):
		return middleware{around(pass)}
	case middlewareLike(fn.Type()) && len(args) == 1:
		return wrap(pass, call.Pos(), node())
	case handlerLike(t):
		return wrap(own, call.Pos())
	}
	return nil
}

// callHTTP is a call of net/http or of what makes and chains routers.
func (ev *evaluator) callHTTP(fn *types.Func, call *ast.CallExpr, in *env) (value, bool) {
	path, name := pathOf(fn), fn.Name()
	at := func(i int) *node {
		return ev.asNode(ev.eval(call.Args[i], in), ev.TypesInfo.TypeOf(call.Args[i]), call.Args[i])
	}
	switch {
	case path == "net/http" && name == "NewServeMux":
		return ev.newRouter(serveMux, call.Pos()), true
	case path == "net/http" && (name == "Handle" || name == "HandleFunc") && fn.Signature().Recv() == nil:
		if obj, ok := fn.Pkg().Scope().Lookup("DefaultServeMux").(*types.Var); ok {
			if r, ok := ev.global(obj, call.Pos()).(*router); ok {
				return ev.route(r, name, call, in), true
			}
		}
	case path == "net/http" && (strings.HasPrefix(name, "ListenAndServe") || strings.HasPrefix(name, "Serve")) && fn.Signature().Recv() == nil:
		for i := range call.Args {
			if isNamed(fn.Signature().Params().At(i).Type(), "net/http", "Handler") {
				if id, ok := call.Args[i].(*ast.Ident); !ok || id.Name != "nil" {
					ev.sinks = append(ev.sinks, at(i))
				}
			}
		}
		return nil, true
	case path == "net/http/httptest" && len(call.Args) == 1 && handlerLike(fn.Signature().Params().At(0).Type()):
		ev.sinks = append(ev.sinks, at(0))
		return nil, true
	case path == "net/http" && (name == "NotFoundHandler" || name == "RedirectHandler" || strings.HasPrefix(name, "FileServer")):
		return wrap(own, call.Pos()), true
	case isPath(path, "github.com/go-chi/chi") && name == "Chain", path == "github.com/justinas/alice" && name == "New":
		return chained(ev.args(call.Args, call.Ellipsis.IsValid(), in)), true
	case isFramework(path) && (strings.HasPrefix(name, "Wrap") || name == "FromHTTPHandler") && len(call.Args) == 1:
		if v := ev.eval(call.Args[0], in); middlewareLike(ev.TypesInfo.TypeOf(call.Args[0])) {
			return middleware{ev.apply(v, nil, wrap(hole, call.Pos()), call)}, true
		}
		return at(0), true
	}
	if fw, ok := frameworkOf(ev.TypesInfo.TypeOf(call)); ok && isFramework(path) && fn.Signature().Recv() == nil {
		return ev.newRouter(fw, call.Pos()), true
	}
	return nil, false
}

func (ev *evaluator) chain(c chained, name string, call *ast.CallExpr, in *env) value {
	switch name {
	case "Then", "ThenFunc", "Handler", "HandlerFunc":
		if len(call.Args) == 1 {
			n := ev.applyAll(c, ev.asNode(ev.eval(call.Args[0], in), ev.TypesInfo.TypeOf(call.Args[0]), call.Args[0]), call)
			ev.roots = append(ev.roots, n)
			return n
		}
	case "Append":
		return append(slices.Clone(c), ev.args(call.Args, call.Ellipsis.IsValid(), in)...)
	case "Extend":
		if len(call.Args) == 1 {
			more, _ := ev.eval(call.Args[0], in).(chained)
			return append(slices.Clone(c), more...)
		}
	}
	return nil
}

// callElsewhere is a call of a package that was not analyzed. If it makes a handler
// from handlers, the new one passes requests on to them. What it makes from functions
// is not known.
func (ev *evaluator) callElsewhere(fn *types.Func, call *ast.CallExpr, in *env) []value {
	args := ev.args(call.Args, call.Ellipsis.IsValid(), in)
	results := fn.Signature().Results()
	out := make([]value, results.Len())
	inner, seen := []*node(nil), pass
	for i, v := range args {
		if i < len(call.Args) && handlerLike(ev.TypesInfo.TypeOf(call.Args[i])) {
			inner = append(inner, ev.asNode(v, ev.TypesInfo.TypeOf(call.Args[i]), call.Args[i]))
			continue
		}
		if _, ok := v.(middleware); ok {
			seen = unknown
		}
		ev.run(v, call)
	}
	if authLike.MatchString(fn.Name()) {
		seen = foreign
	}
	if len(inner) == 0 && seen == pass {
		seen = unknown
	}
	dynamic := fn.Signature().Recv() != nil && types.IsInterface(fn.Signature().Recv().Type())
	if dynamic {
		seen = unknown // whatever implements it may be a guard
	}
	for i := range out {
		switch t := results.At(i).Type(); {
		case middlewareLike(t), isHandlerSignatureType(t) && isFramework(pathOf(fn)):
			if seen == unknown && !dynamic {
				seen = pass // cors.Handler(options)
			}
			out[i] = middleware{wrap(seen, call.Pos(), wrap(hole, call.Pos()))}
		case handlerLike(t):
			out[i] = wrap(seen, call.Pos(), inner...)
		}
	}
	return out
}

func isHandlerSignatureType(t types.Type) bool {
	s, ok := types.Unalias(t).Underlying().(*types.Signature)
	return ok && isHandlerSignature(s)
}

// run walks through a function that is handed to other code which will call it: what an
// errgroup starts, for one. Handlers are checked where they are mounted.
func (ev *evaluator) run(v value, at ast.Node) {
	c, ok := v.(*closure)
	if !ok {
		return
	}
	if s := ev.signature(c.fn); s != nil && !handlerLike(s) && !middlewareLike(s) {
		ev.invoke(c, nil, at)
	}
}
