package analyzer

import (
	"go/ast"
	"go/token"
)

// A kind says what a node of a handler's tree does with a request.
type kind uint8

const (
	unknown kind = iota // something the analysis cannot see: no finding below it
	site                // Middleware.Handler
	guard               // a guard of walkin's
	foreign             // a guard of another kind, such as HTTP Basic: walkin's users are not what it asks for
	code                // a function of the app's, with what it says about visitors
	pass                // hands the request on as it is
	mux                 // a router
	own                 // a handler of walkin's, which decides by itself
	hole                // what a middleware will be wrapped around
	param               // a parameter of the function that is summarized
)

// A node is a handler and the handlers that it passes requests on to. Trees are plain
// data, so that the summary of a function in another package is a tree, too.
type node struct {
	Kind   kind
	Name   string // of a guard, for messages
	Says   says   // of code
	Param  int
	Inner  []*node
	Router *router
	From   string // the package whose summary this is from; empty is the one at hand

	pos  token.Pos
	body ast.Node // of code: the function
	next token.Pos
}

func wrap(k kind, pos token.Pos, inner ...*node) *node {
	return &node{Kind: k, pos: pos, Inner: inner}
}

// A framework says how a router treats its middlewares.
type framework uint8

const (
	serveMux framework = iota + 1
	chiRouter
	ginRouter
	echoRouter
)

// A router is what was done to a router or a group of one, in order.
type router struct {
	Framework framework
	Group     bool
	Prefix    string
	Param     int // one more than the number of the parameter that it is; 0 is none
	Ops       []op
}

// An op is a route, a middleware or a group.
type op struct {
	Use     *node // with a hole
	Sub     *router
	Handler *node
	Within  []*node // middlewares of this route alone, each with a hole
	Method  string  // empty: any; "*": all of them, and the router says so
	Path    string
	Allowed bool   // by a directive
	Where   string // file and line, in a summary
	From    string // as in node

	pos token.Pos
}

// through puts inner where the holes of a tree are. The tree is not changed.
func (n *node) through(inner *node) *node {
	if n == nil {
		return wrap(unknown, token.NoPos, inner)
	}
	if n.Kind == hole {
		return inner
	}
	out := *n
	out.Inner = make([]*node, len(n.Inner))
	for i, c := range n.Inner {
		out.Inner[i] = c.through(inner)
	}
	return &out
}

// at returns the tree with another position for its outermost node: the position where
// a guard that was held in a variable is applied.
func (n *node) at(pos token.Pos) *node {
	out := *n
	out.pos = pos
	return &out
}

// instantiate copies a summary for one call: args take the place of parameters.
type instantiate struct {
	pos  token.Pos
	from string
	mws  func(i int, inner *node) *node
	arg  func(i int) *node
	done map[*router]*router
}

func (in *instantiate) node(n *node) *node {
	if n == nil {
		return nil
	}
	out := *n
	out.pos, out.Router = in.pos, in.router(n.Router)
	if out.From == "" {
		out.From = in.from
	}
	out.Inner = nil
	for _, c := range n.Inner {
		out.Inner = append(out.Inner, in.node(c))
	}
	if n.Kind == param {
		if len(out.Inner) > 0 {
			return in.mws(n.Param, out.Inner[0])
		}
		return in.arg(n.Param)
	}
	return &out
}

func (in *instantiate) router(r *router) *router {
	if r == nil {
		return nil
	}
	if known := in.done[r]; known != nil {
		return known
	}
	out := &router{Framework: r.Framework, Group: r.Group, Prefix: r.Prefix}
	in.done[r] = out
	out.Ops = in.ops(r.Ops)
	return out
}

func (in *instantiate) ops(ops []op) (out []op) {
	for _, o := range ops {
		o.Use, o.Sub, o.Handler, o.pos = in.node(o.Use), in.router(o.Sub), in.node(o.Handler), in.pos
		within := o.Within
		o.Within = nil
		for _, n := range within {
			o.Within = append(o.Within, in.node(n))
		}
		if o.From == "" {
			o.From = in.from
		}
		out = append(out, o)
	}
	return out
}
