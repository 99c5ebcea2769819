package analyzer

import (
	"go/ast"
	"go/token"
	"strings"
)

// route is a method call on a router.
func (ev *evaluator) route(r *router, name string, call *ast.CallExpr, in *env) value {
	c := &registration{evaluator: ev, r: r, call: call, in: in, name: name}
	switch r.Framework {
	case serveMux:
		return c.serveMux()
	case chiRouter:
		return c.chi()
	case ginRouter:
		return c.gin()
	}
	return c.echo()
}

// A registration is one such call.
type registration struct {
	*evaluator
	r    *router
	call *ast.CallExpr
	in   *env
	name string
}

func (c *registration) arg(i int) value {
	if i >= len(c.call.Args) {
		return nil
	}
	return c.eval(c.call.Args[i], c.in)
}

func (c *registration) text(i int) string {
	if s, ok := c.arg(i).(text); ok {
		return string(s)
	}
	return "…"
}

func (c *registration) node(i int) *node {
	if i >= len(c.call.Args) {
		return wrap(unknown, c.call.Pos())
	}
	e := c.call.Args[i]
	return c.asNode(c.eval(e, c.in), c.TypesInfo.TypeOf(e), e)
}

// middlewares are the arguments from i on, each around a hole.
func (c *registration) middlewares(from int) (out []*node) {
	for i := from; i < len(c.call.Args); i++ {
		e := c.call.Args[i]
		v := c.eval(e, c.in)
		all := []value{v}
		if list, ok := v.(*listed); ok {
			all = list.elems
		} else if _, none := v.(zero); none {
			all = nil
		}
		for _, mw := range all {
			out = append(out, c.apply(mw, c.TypesInfo.TypeOf(e), wrap(hole, token.NoPos), e))
		}
	}
	return out
}

func (c *registration) add(method, path string, handler *node, within []*node) {
	c.r.Ops = append(c.r.Ops, op{Method: method, Path: path, Handler: handler, Within: within, pos: c.call.Pos(),
		Allowed: c.directives.covers(c.Fset.Position(c.call.Pos()))})
}

func (c *registration) use(r *router, mws []*node) {
	for _, mw := range mws {
		r.Ops = append(r.Ops, op{Use: mw, pos: c.call.Pos()})
	}
}

func (c *registration) group(prefix string, mws []*node) *router {
	sub := &router{Framework: c.r.Framework, Group: true, Prefix: prefix}
	c.use(sub, mws)
	c.r.Ops = append(c.r.Ops, op{Sub: sub, pos: c.call.Pos()})
	return sub
}

// fill calls the function that registers a group's routes.
func (c *registration) fill(sub *router, i int) value {
	switch fn := c.arg(i).(type) {
	case *closure:
		c.invoke(fn, []value{sub}, c.call)
	case *external:
		var fact summary
		if c.ImportObjectFact(fn.fn, &fact) {
			c.fromSummary(fn.fn, fact, []value{sub}, c.call)
		}
	}
	return sub
}

func (c *registration) serveMux() value {
	if c.name != "Handle" && c.name != "HandleFunc" {
		return nil
	}
	method, path, ok := strings.Cut(strings.TrimLeft(c.text(0), " \t"), " ")
	if !ok {
		method, path = "", method
	}
	c.add(method, strings.TrimLeft(path, " \t"), c.node(1), nil)
	return nil
}

func (c *registration) chi() value {
	switch c.name {
	case "Use":
		c.use(c.r, c.middlewares(0))
	case "With":
		return c.group("", c.middlewares(0))
	case "Group":
		return c.fill(c.group("", nil), 0)
	case "Route":
		return c.fill(c.group(c.text(0), nil), 1)
	case "Mount", "Handle", "HandleFunc":
		method, path, ok := strings.Cut(c.text(0), " ")
		if !ok {
			method, path = "", c.text(0)
		}
		c.add(method, path, c.node(1), nil)
	case "Method", "MethodFunc":
		c.add(c.text(0), c.text(1), c.node(2), nil)
	case "Get", "Head", "Options", "Trace", "Connect", "Query", "Post", "Put", "Patch", "Delete":
		c.add(strings.ToUpper(c.name), c.text(0), c.node(1), nil)
	}
	return c.r
}

func (c *registration) gin() value {
	chain := func(method string, path string, from int) {
		mws := c.middlewares(from)
		if len(mws) == 0 {
			return
		}
		last := len(c.call.Args) - 1
		handler := c.node(last)
		if list, ok := c.arg(last).(*listed); ok {
			handler = wrap(unknown, c.call.Pos())
			if n := len(list.elems); n > 0 {
				handler = c.asNode(list.elems[n-1], nil, c.call)
			}
		}
		c.add(method, path, handler, mws[:len(mws)-1])
	}
	switch c.name {
	case "Use":
		c.use(c.r, c.middlewares(0))
	case "Group":
		return c.group(c.text(0), c.middlewares(1))
	case "Any":
		chain("*", c.text(0), 1)
	case "Handle":
		chain(c.text(0), c.text(1), 2)
	case "Match":
		chain(c.oneUnsafe(c.arg(0)), c.text(1), 2)
	case "Run", "RunTLS", "RunListener", "RunUnix", "RunFd":
		c.sinks = append(c.sinks, c.asNode(c.r, nil, c.call))
		return nil
	case "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE":
		chain(c.name, c.text(0), 1)
	}
	return c.r
}

// oneUnsafe returns the first unsafe method of a list, or else the first.
func (c *registration) oneUnsafe(v value) string {
	list, ok := v.(*listed)
	if !ok || len(list.elems) == 0 {
		return "…"
	}
	method := ""
	for _, e := range list.elems {
		if s, _ := e.(text); method == "" || isUnsafe(string(s)) && !isUnsafe(method) {
			method = string(s)
		}
	}
	return method
}

func (c *registration) echo() value {
	switch c.name {
	case "Use", "Pre":
		c.use(c.r, c.middlewares(0))
		return nil
	case "Group":
		return c.group(c.text(0), c.middlewares(1))
	case "Any":
		c.add("*", c.text(0), c.node(1), c.middlewares(2))
	case "Add":
		c.add(c.text(0), c.text(1), c.node(2), c.middlewares(3))
	case "Match":
		c.add(c.oneUnsafe(c.arg(0)), c.text(1), c.node(2), c.middlewares(3))
	case "AddRoute":
		c.echoRoute()
	case "Start", "StartTLS", "StartServer", "StartAutoTLS":
		c.sinks = append(c.sinks, c.asNode(c.r, nil, c.call))
		return nil
	case "GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY", "POST", "PUT", "PATCH", "DELETE":
		c.add(c.name, c.text(0), c.node(1), c.middlewares(2))
	}
	return nil
}

// echoRoute is a route that is a struct, with fields Method, Path, Handler and
// Middlewares.
func (c *registration) echoRoute() {
	route, ok := c.arg(0).(record)
	if !ok {
		return
	}
	word := func(name string) string {
		if s, ok := route.fields[name].(text); ok {
			return string(s)
		}
		return "…"
	}
	var within []*node
	if list, ok := route.fields["Middlewares"].(*listed); ok {
		for _, mw := range list.elems {
			within = append(within, c.apply(mw, nil, wrap(hole, token.NoPos), c.call))
		}
	}
	c.add(word("Method"), word("Path"), c.asNode(route.fields["Handler"], nil, c.call), within)
}
