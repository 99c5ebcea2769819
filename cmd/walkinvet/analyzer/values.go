package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// A value is what an expression evaluates to, as far as it matters here. nil is
// anything else.
//
//	*node       a handler
//	*router     a router or a group
//	middleware  from handler to handler
//	*closure    a function whose text is here
//	*external   one whose text is elsewhere
//	*listed     a slice, an array or a map
//	record      a struct
//	text        a string, with "…" for what is not known of it
//	chained     middlewares in order, as of chi.Chain and alice.New
//	truth, number, zero    a bool, an integer, and nil
type value any

type middleware struct{ tree *node } // with a hole

type closure struct {
	fn   ast.Node // *ast.FuncDecl or *ast.FuncLit
	env  *env
	recv value
}

type external struct {
	fn   *types.Func
	recv value
}

type listed struct{ keys, elems []value }

type record struct {
	named  *types.Named
	fields map[string]value
}

type text string

type chained []value

type (
	truth  bool
	number int64
	zero   struct{}
)

// flows reports whether a value leads to handlers.
func flows(v value) bool {
	switch v.(type) {
	case nil, truth, number, zero:
		return false
	}
	return true
}

// equal compares two values; ok is false where one is not known.
func equal(a, b value) (same, ok bool) {
	if x, is := a.(text); is {
		y, is := b.(text)
		return x == y, is && !strings.Contains(string(x+y), "…")
	}
	switch a.(type) {
	case truth, number:
		switch b.(type) {
		case truth, number:
			return a == b, true
		}
	case zero:
		_, same := b.(zero)
		return same, b != nil
	case nil:
		return false, false
	}
	_, null := b.(zero)
	return false, null
}

// An env holds the variables of one call. Closures see the env of the function that
// made them.
type env struct {
	vars map[types.Object]value
	up   *env
}

func (e *env) lookup(obj types.Object) (value, bool) {
	for ; e != nil; e = e.up {
		if v, ok := e.vars[obj]; ok {
			return v, true
		}
	}
	return nil, false
}

func (e *env) set(obj types.Object, v value) {
	for at := e; at != nil; at = at.up {
		if _, ok := at.vars[obj]; ok {
			at.vars[obj] = v
			return
		}
	}
	e.vars[obj] = v
}

// asNode makes a handler's tree of a value of type t.
func (ev *evaluator) asNode(v value, t types.Type, at ast.Node) *node {
	pos := at.Pos()
	switch v := v.(type) {
	case *node:
		return v
	case *router:
		n := wrap(mux, pos)
		n.Router = v
		return n
	case *closure:
		return ev.codeNode(v, at)
	case *external:
		return ev.externalNode(v.fn, pos)
	case *listed:
		n := wrap(pass, pos)
		for _, e := range v.elems {
			n.Inner = append(n.Inner, ev.asNode(e, nil, at))
		}
		return n
	case record:
		if v.named != nil {
			t = v.named
		}
	case middleware, chained:
		return wrap(unknown, pos)
	}
	if _, name, ours := roomOfType(t); ours && name != "Middleware" {
		return wrap(own, pos)
	}
	return ev.servingNode(t, at)
}

// servingNode is that of a type with a method ServeHTTP.
func (ev *evaluator) servingNode(t types.Type, at ast.Node) *node {
	named := namedOf(t)
	if named == nil || types.IsInterface(named) {
		return wrap(unknown, at.Pos())
	}
	obj, index, _ := types.LookupFieldOrMethod(named, true, ev.Pkg, "ServeHTTP")
	fn, _ := obj.(*types.Func)
	if fn == nil {
		return wrap(unknown, at.Pos())
	}
	if len(index) > 1 { // of an embedded router or handler
		field := embedded(named, index)
		return ev.asNode(ev.field(field), field.Type(), at)
	}
	if decl := ev.decls[fn]; decl != nil {
		return ev.codeNode(&closure{fn: decl, env: ev.frame(nil)}, at)
	}
	return ev.externalNode(fn, at.Pos())
}

func embedded(t types.Type, index []int) (field *types.Var) {
	for _, i := range index[:len(index)-1] {
		s, ok := namedOf(t).Underlying().(*types.Struct)
		if !ok {
			break
		}
		field = s.Field(i)
		t = field.Type()
	}
	return field
}

// externalNode is a handler in another package. It is known where that package was
// analyzed, in the same module. Otherwise nothing can be said of it.
func (ev *evaluator) externalNode(fn *types.Func, pos token.Pos) *node {
	if room, ours := roomOf(pathOf(fn)); ours && room != "internal" {
		return wrap(own, pos)
	}
	// What is behind a ReverseProxy asks for itself.
	if said, ok := ev.saysOfFunc(fn); ok && !isNetHTTP(pathOf(fn)) {
		n := wrap(code, pos)
		n.Says = said
		return n
	}
	return wrap(unknown, pos)
}

// codeNode is a function of this package: what it says, and the handlers that it
// hands requests on to.
func (ev *evaluator) codeNode(c *closure, at ast.Node) *node {
	n := wrap(code, at.Pos())
	n.Says, n.body = ev.saysOf(c.fn), c.fn
	if ev.depth > maxDepth || ev.running[c.fn] {
		return n
	}
	outer := ev.served
	ev.served = &served{}
	ev.invoke(c, nil, at)
	n.Inner, n.next = ev.served.nodes, ev.served.at
	n.Says = n.Says.or(ev.served.says)
	ev.served = outer
	return n
}

// served collects the handlers that a function under evaluation calls.
type served struct {
	nodes []*node
	at    token.Pos
	says  says // of functions that it calls by value
}

func (ev *evaluator) hear(s says) {
	if ev.served != nil {
		ev.served.says = ev.served.says.or(s)
	}
}

func (ev *evaluator) serve(n *node, pos token.Pos) {
	if ev.served != nil {
		ev.served.nodes = append(ev.served.nodes, n)
		first(&ev.served.at, pos)
	}
}

// apply puts a handler behind a middleware.
func (ev *evaluator) apply(mw value, t types.Type, inner *node, at ast.Node) *node {
	switch mw := mw.(type) {
	case middleware:
		return mw.tree.at(at.Pos()).through(inner)
	case chained:
		return ev.applyAll(mw, inner, at)
	case *listed:
		return ev.applyAll(mw.elems, inner, at)
	case *node: // gin has one type for both
		return &node{Kind: mw.Kind, Name: mw.Name, Says: mw.Says, Inner: []*node{inner}, pos: at.Pos()}
	case *closure:
		if s := ev.signature(mw.fn); s != nil && isHandlerSignature(s) && !middlewareLike(s) {
			n := ev.codeNode(mw, at)
			return &node{Kind: code, Says: n.Says, Inner: append(n.Inner, inner), pos: at.Pos(), next: ev.nextCall(mw.fn)}
		}
		return ev.asNode(ev.single(ev.invoke(mw, []value{inner}, at)), nil, at)
	case *external:
		return ev.applyExternal(mw.fn, inner, at)
	case zero: // no middleware
		return inner
	}
	return wrap(unknown, at.Pos(), inner)
}

func (ev *evaluator) applyAll(mws []value, inner *node, at ast.Node) *node {
	for i := len(mws) - 1; i >= 0; i-- {
		inner = ev.apply(mws[i], nil, inner, at)
	}
	return inner
}

// nextCall finds where a middleware of gin's goes on.
func (ev *evaluator) nextCall(fn ast.Node) (pos token.Pos) {
	ast.Inspect(bodyOf(fn), func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Next" && isFrameworkContext(ev.TypesInfo.TypeOf(sel.X)) {
			first(&pos, sel.Pos())
		}
		return true
	})
	return pos
}

func (ev *evaluator) applyExternal(fn *types.Func, inner *node, at ast.Node) *node {
	var fact summary
	if ev.ImportObjectFact(fn, &fact) {
		switch {
		case len(fact.Results) == 1 && fact.Results[0].Node != nil:
			v := ev.fromSummary(fn, fact, []value{inner}, at)
			return ev.asNode(ev.single(v), nil, at)
		case isHandlerSignature(fn.Signature()):
			return &node{Kind: code, Says: fact.Says, Inner: []*node{inner}, pos: at.Pos()}
		}
	}
	if authLike.MatchString(fn.Name()) {
		return wrap(foreign, at.Pos(), inner)
	}
	return wrap(pass, at.Pos(), inner)
}

func (ev *evaluator) signature(fn ast.Node) *types.Signature {
	switch fn := fn.(type) {
	case *ast.FuncDecl:
		return ev.TypesInfo.Defs[fn.Name].(*types.Func).Signature()
	case *ast.FuncLit:
		s, _ := ev.TypesInfo.TypeOf(fn).(*types.Signature)
		return s
	}
	return nil
}

func (ev *evaluator) single(v []value) value {
	if len(v) == 0 {
		return nil
	}
	return v[0]
}
