package analyzer

import (
	"fmt"
	"go/ast"
	"go/types"
	"path/filepath"

	"golang.org/x/tools/go/types/typeutil"
)

// A summary is what other packages know of a function: what it says about visitors,
// what it does to the routers among its parameters, and the handlers it returns.
type summary struct {
	Says    says
	Params  map[int][]op
	Results []result
}

type result struct {
	Node       *node
	Router     *router
	Middleware bool // Node has a hole
	Text       string
}

func (*summary) AFact() {}
func (s *summary) String() string {
	return fmt.Sprintf("%d routers, %d results", len(s.Params), len(s.Results))
}

// users says that a package, or one that it imports, asks about visitors. Only where a
// site tells visitors apart is a write for all of them worth reporting.
type users struct{ Known bool }

func (*users) AFact()         {}
func (*users) String() string { return "users" }

// summarize walks through a function by itself, with unknown parameters, and exports
// the result.
func (ev *evaluator) summarize(decl *ast.FuncDecl, export bool) {
	fn, ok := ev.TypesInfo.Defs[decl.Name].(*types.Func)
	if !ok || decl.Body == nil {
		return
	}
	fact := &summary{Says: ev.saysOf(decl)}
	handler := false
	for v := range fn.Signature().Params().Variables() {
		handler = handler || isNamed(v.Type(), "net/http", "Request") || isFrameworkContext(v.Type())
	}
	if ev.relevant[decl] {
		args := ev.parameters(fn.Signature())
		results := ev.invoke(&closure{fn: decl, env: ev.frame(nil)}, args, decl)
		for i, arg := range args {
			if r, ok := arg.(*router); ok && len(r.Ops) > 0 {
				if fact.Params == nil {
					fact.Params = map[int][]op{}
				}
				fact.Params[i] = ev.portable(r.Ops)
			}
		}
		fact.Results = ev.results(fn.Signature(), results, decl)
	}
	if export && (handler || fact.Says != says{} || len(fact.Params) > 0 || len(fact.Results) > 0) {
		ev.ExportObjectFact(fn, fact)
	}
}

// parameters stands for what the callers of a function will pass.
func (ev *evaluator) parameters(s *types.Signature) []value {
	args := make([]value, s.Params().Len())
	for i := range args {
		t, pos := s.Params().At(i).Type(), s.Params().At(i).Pos()
		n := wrap(param, pos)
		n.Param = i
		if list, ok := t.(*types.Slice); ok && middlewareLike(list.Elem()) {
			n.Inner = []*node{wrap(hole, pos)}
			args[i] = &listed{keys: []value{nil}, elems: []value{middleware{n}}}
			continue
		}
		switch fw, isRouter := frameworkOf(t); {
		case isRouter:
			r := ev.newRouter(fw, pos)
			r.Group = namedOf(t).Obj().Name() == "Group"
			args[i] = r
		case middlewareLike(t):
			n.Inner = []*node{wrap(hole, pos)}
			args[i] = middleware{n}
		case handlerLike(t):
			args[i] = n
		}
	}
	return args
}

func (ev *evaluator) results(s *types.Signature, values []value, at ast.Node) []result {
	out := make([]result, len(values))
	any := false
	for i, v := range values {
		switch v := v.(type) {
		case *router:
			out[i].Router = v
			ev.portable(v.Ops)
		case middleware:
			out[i] = result{Node: v.tree, Middleware: true}
		case text:
			out[i].Text = string(v)
		case *closure, chained, *listed:
			t := s.Results().At(i).Type()
			if middlewareLike(t) {
				out[i] = result{Node: ev.apply(v, t, wrap(hole, at.Pos()), at), Middleware: true}
			} else if handlerLike(t) {
				out[i].Node = ev.asNode(v, t, at)
			}
		default:
			if t := s.Results().At(i).Type(); flows(v) && handlerLike(t) {
				out[i].Node = ev.asNode(v, t, at)
			}
		}
		any = any || out[i] != result{}
	}
	if !any {
		return nil
	}
	return out
}

// portable fills in what a position is in another package: a place in words.
func (ev *evaluator) portable(ops []op) []op {
	for i := range ops {
		at := ev.Fset.Position(ops[i].pos)
		if ops[i].Where == "" {
			ops[i].Where = fmt.Sprintf("%s:%d", filepath.Base(at.Filename), at.Line)
		}
		if ops[i].Sub != nil {
			ev.portable(ops[i].Sub.Ops)
		}
		if h := ops[i].Handler; h != nil && h.Router != nil {
			ev.portable(h.Router.Ops)
		}
	}
	return ops
}

// fromSummary does what a call of a function in another package does.
func (ev *evaluator) fromSummary(fn *types.Func, fact summary, args []value, at ast.Node) []value {
	param := func(i int) (value, types.Type) {
		if i >= len(args) || i >= fn.Signature().Params().Len() {
			return nil, nil
		}
		return args[i], fn.Signature().Params().At(i).Type()
	}
	in := &instantiate{pos: at.Pos(), from: fn.Pkg().Path(), done: map[*router]*router{}}
	in.mws = func(i int, inner *node) *node { v, t := param(i); return ev.apply(v, t, inner, at) }
	in.arg = func(i int) *node { v, t := param(i); return ev.asNode(v, t, at) }
	for i, ops := range fact.Params {
		if v, _ := param(i); v != nil {
			if r, ok := v.(*router); ok {
				r.Ops = append(r.Ops, in.ops(ops)...)
			}
		}
	}
	out := make([]value, len(fact.Results))
	for i, r := range fact.Results {
		switch {
		case r.Router != nil:
			out[i] = in.router(r.Router)
		case r.Middleware:
			out[i] = middleware{in.node(r.Node)}
		case r.Node != nil:
			n := in.node(r.Node)
			ev.roots = append(ev.roots, n)
			out[i] = n
		case r.Text != "":
			out[i] = text(r.Text)
		}
	}
	return out
}

// findRelevant marks the functions that a walk has to go through: those that make,
// mount or wrap handlers, and those that call one that does.
func (p *pkg) findRelevant() {
	calls := map[*ast.FuncDecl][]*ast.FuncDecl{}
	for _, decl := range p.decls {
		if decl.Body == nil {
			continue
		}
		s := p.TypesInfo.Defs[decl.Name].(*types.Func).Signature()
		for _, list := range []*types.Tuple{s.Results(), s.Params()} {
			for v := range list.Variables() {
				p.relevant[decl] = p.relevant[decl] || holdsHandlers(v.Type(), 0)
			}
		}
		ast.Inspect(decl.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if isNamed(p.TypesInfo.TypeOf(n), "net/http", "Server") {
					p.relevant[decl] = true
				}
			case *ast.CallExpr:
				if p.mounts(n) {
					p.relevant[decl] = true
				}
				if fn, ok := typeutil.Callee(p.TypesInfo, n).(*types.Func); ok {
					if callee := p.decls[fn.Origin()]; callee != nil {
						calls[callee] = append(calls[callee], decl)
					}
				}
			}
			return true
		})
	}
	var spread func(decl *ast.FuncDecl)
	spread = func(decl *ast.FuncDecl) {
		for _, caller := range calls[decl] {
			if !p.relevant[caller] {
				p.relevant[caller] = true
				spread(caller)
			}
		}
	}
	for _, decl := range p.decls {
		if p.relevant[decl] {
			spread(decl)
		}
	}
}

// mounts reports whether a call makes, wraps or mounts a handler.
func (p *pkg) mounts(call *ast.CallExpr) bool {
	t := p.TypesInfo.TypeOf(call)
	if handlerLike(t) || middlewareLike(t) {
		return true
	}
	fn, ok := typeutil.Callee(p.TypesInfo, call).(*types.Func)
	if !ok {
		return handlerLike(p.TypesInfo.TypeOf(call.Fun)) // next(w, r)
	}
	if recv := fn.Signature().Recv(); recv != nil {
		if _, ok := frameworkOf(recv.Type()); ok {
			return true
		}
	}
	for v := range fn.Signature().Params().Variables() {
		if _, ok := frameworkOf(v.Type()); ok || isNamed(v.Type(), "net/http", "Handler") {
			return true
		}
	}
	return fn.Name() == "ServeHTTP"
}
