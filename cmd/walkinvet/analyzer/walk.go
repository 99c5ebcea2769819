package analyzer

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// A state is what a request has passed on its way.
type state struct {
	inside  bool // of Handler
	guarded bool
	silent  bool // something that the analysis cannot see
	served  bool // by a server, so that what has not passed Handler by the end never does
	acts    bool // on its way something works for unsafe methods
	from    string
	outer   []*node // guards before Handler
	path    string
	depth   int
}

// A walker follows requests from where they enter to the routes.
type walker struct {
	*pkg
	reached map[ast.Node]reach // by function
	found   map[token.Pos]bool
	unasked []token.Pos // writes of a site that never asks who sends them
}

// reach says how the requests come that a function handles.
type reach struct{ guarded, open bool }

// walk follows a request into n. It returns the state at the hole, if there is one.
func (w *walker) walk(n *node, st state, route *op) (at state, ok bool) {
	if st.depth++; n == nil || st.depth > 60 {
		return st, false
	}
	switch n.Kind {
	case hole:
		return st, true
	case site:
		for _, g := range st.outer {
			w.report(g.pos, "guard", "%s stands outside of Handler, so it refuses every visitor: put Handler around it", g.Name)
		}
		st.inside, st.outer, st.from = true, nil, n.From
	case guard:
		if !st.inside {
			st.outer = append(st.outer[:len(st.outer):len(st.outer)], n)
		}
		st.guarded = true
	case foreign, unknown, param:
		st.silent = true
	case mux:
		if route != nil {
			st.path += strings.TrimSuffix(strings.TrimSuffix(route.Path, "*"), "/")
		}
		w.router(n.Router, st)
		return st, false
	case own:
		w.end(st)
		return st, false
	case code:
		if len(n.Inner) == 0 {
			w.leaf(n, st, route)
			return st, false
		}
		st.acts = st.acts || n.Says.Acts
		st.guarded = st.guarded || n.Says.guards(n.next)
	}
	for _, inner := range n.Inner {
		in := st
		in.silent = in.silent || n.guardsElsewhere(inner)
		if a, o := w.walk(inner, in, route); o {
			a.guarded, a.silent = a.guarded || ok && at.guarded, a.silent || ok && at.silent
			at, ok = a, true
		}
	}
	return at, ok
}

// guardsElsewhere reports whether n sends some requests to a handler by a guard and
// others without: it has looked at them, by their path perhaps.
func (n *node) guardsElsewhere(inner *node) bool {
	return len(n.Inner) > 1 && slices.ContainsFunc(n.Inner, func(other *node) bool {
		return other != inner && other != nil && inner != nil && other.Kind == guard &&
			slices.ContainsFunc(other.Inner, func(o *node) bool { return o.same(inner) })
	})
}

// same reports whether two nodes are one router or one function.
func (n *node) same(o *node) bool {
	return n.Kind == o.Kind && (n.Router != nil && n.Router == o.Router || n.body != nil && n.body == o.body || n.Kind == hole)
}

func (w *walker) through(mw *node, st state) state {
	if after, ok := w.walk(mw, st, nil); ok {
		after.depth = st.depth
		return after
	}
	st.silent = true // it hands on to nothing that is known
	return st
}

func (w *walker) router(r *router, st state) {
	if r == nil {
		return
	}
	st.path += strings.TrimSuffix(r.Prefix, "/")
	late := r.Framework == echoRouter && !r.Group
	if late { // echo's own middlewares hold for all routes, whenever they were added
		for _, o := range r.Ops {
			if o.Use != nil {
				st = w.through(o.Use, st)
			}
		}
	}
	for i := range r.Ops {
		switch o := &r.Ops[i]; {
		case o.Use != nil:
			if !late {
				st = w.through(o.Use, st)
			}
		case o.Sub != nil:
			if st.depth < 60 {
				sub := st
				sub.depth++
				w.router(o.Sub, sub)
			}
		default:
			at := st
			for _, mw := range o.Within {
				at = w.through(mw, at)
			}
			w.walk(o.Handler, at, o)
		}
	}
}

// leaf is where a request ends.
func (w *walker) leaf(n *node, st state, route *op) {
	w.end(st)
	if n.body != nil && st.inside {
		r := w.reached[n.body]
		if st.guarded || st.silent {
			r.guarded = true
		} else {
			r.open = true
		}
		w.reached[n.body] = r
	}
	if route == nil || !st.inside || st.guarded || st.silent || n.Says.decides() || route.Allowed {
		return
	}
	method := route.Method
	switch {
	case method == "" && (st.acts || n.Says.Acts), method == "*":
		method = ""
	case !isUnsafe(method):
		return
	}
	path := st.path + route.Path
	if isOpenPath(path) || route.From != "" && route.From == st.from {
		return // the last was reported where Handler is
	} else if !w.knowsUsers && !isPrivatePath(path) {
		if !slices.Contains(w.unasked, route.pos) {
			w.unasked = append(w.unasked, route.pos)
		}
		return
	}
	name := strings.TrimSpace(method + " " + st.path + route.Path)
	if method == "" {
		name = "write to " + name
	} else {
		name = "send " + name
	}
	where := ""
	if route.From != "" {
		where = fmt.Sprintf(" (%s of %s)", route.Where, route.From)
	}
	why := "nothing asks who sends it"
	if n.Says.Touches {
		why = "its handler takes claims without looking whether there are any"
	}
	w.report(route.pos, "route", "every visitor can %s%s, and %s: put a guard around it, or say why that is meant with //walkin:allow", name, where, why)
}

// end is for a request that will meet no Handler any more.
func (w *walker) end(st state) {
	if st.served && !st.inside && !st.silent {
		for _, g := range st.outer {
			w.report(g.pos, "guard", "%s is served without Handler around it, so it refuses every visitor", g.Name)
		}
	}
}

func (w *walker) report(pos token.Pos, category, format string, args ...any) {
	if pos.IsValid() && !w.found[pos] {
		w.found[pos] = true
		w.pkg.report(pos, category, format, args...)
	}
}
