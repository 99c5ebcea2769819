package analyzer

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// says is what a function's body says about visitors. It is in summaries for other
// packages, without the positions.
type says struct {
	Gates   bool   // calls what decides who may go on: Ensure, Continue, Take
	Asks    bool   // takes claims and looks whether there are any
	Touches bool   // takes claims and does not look
	Refuses bool   // answers 401 or 403
	Answers bool   // redirects, refuses or ends the request in another way
	Acts    bool   // works for an unsafe method
	Leaves  bool   // returns from a branch without handing the request on
	Loses   bool   // returns claims without what tells whether there are any
	Ends    bool   // refuses the request, and returns nothing that tells
	Hands   string // the function of walkin's whose error it returns
	Writes  uint64 // the parameters, a bit each, to which it always writes
	Sets    uint64 // those on which it sets walkin's cookie
	Setter  string // by this function of walkin's

	gates, asks, refuses, answers, leaves token.Pos
}

func first(at *token.Pos, pos token.Pos) bool {
	if !at.IsValid() || pos < *at {
		*at = pos
	}
	return true
}

// or is what two functions say together.
func (s says) or(t says) says {
	s.Gates, s.Asks, s.Touches = s.Gates || t.Gates, s.Asks || t.Asks, s.Touches || t.Touches
	s.Refuses, s.Answers, s.Acts = s.Refuses || t.Refuses, s.Answers || t.Answers, s.Acts || t.Acts
	return s
}

// decides reports whether a handler decides by itself who may do what it does.
func (s says) decides() bool { return s.Gates || s.Asks || s.Refuses }

// guards reports whether a middleware may keep a visitor from the handler that it
// calls. It looks at what comes before next: what comes after that is error handling.
func (s says) guards(next token.Pos) bool {
	before := func(said bool, at token.Pos) bool { return said && (!next.IsValid() || at < next) }
	return before(s.Gates, s.gates) || before(s.Refuses, s.refuses) ||
		before(s.Asks, s.asks) && (before(s.Answers, s.answers) || before(s.Leaves, s.leaves))
}

// saysOf returns what a *ast.FuncDecl or *ast.FuncLit says; functions that call each
// other in a circle say nothing to each other.
func (p *pkg) saysOf(fn ast.Node) says {
	if known, ok := p.said[fn]; ok {
		return known
	}
	p.said[fn] = says{}
	body := bodyOf(fn)
	if body == nil {
		return says{}
	}
	s := &scanner{pkg: p, to: map[*ast.CallExpr][]ast.Expr{}, dropped: map[*ast.CallExpr]bool{}}
	ast.Inspect(body, s.visit)
	if t, ok := p.TypesInfo.TypeOf(nameOf(fn)).(*types.Signature); ok {
		s.Loses = s.Touches && !s.Asks && t.Results().Len() == 1 && isClaims(t.Results().At(0).Type())
	}
	p.said[fn] = s.says
	if decl, ok := fn.(*ast.FuncDecl); ok {
		p.deeds(decl, &s.says)
		p.said[fn] = s.says
	}
	return s.says
}

func nameOf(fn ast.Node) ast.Expr {
	if decl, ok := fn.(*ast.FuncDecl); ok {
		return decl.Name
	}
	return fn.(ast.Expr)
}

func bodyOf(fn ast.Node) *ast.BlockStmt {
	switch fn := fn.(type) {
	case *ast.FuncDecl:
		return fn.Body
	case *ast.FuncLit:
		return fn.Body
	}
	return nil
}

type scanner struct {
	*pkg
	says
	to      map[*ast.CallExpr][]ast.Expr // what its results are assigned to
	dropped map[*ast.CallExpr]bool       // a statement of its own
}

func (s *scanner) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ExprStmt:
		if call, ok := n.X.(*ast.CallExpr); ok {
			s.dropped[call] = true
		}
	case *ast.AssignStmt:
		if call, ok := ast.Unparen(n.Rhs[0]).(*ast.CallExpr); ok && len(n.Rhs) == 1 {
			s.to[call] = n.Lhs
		}
	case *ast.CallExpr:
		s.call(n)
	case *ast.SelectorExpr:
		s.selector(n)
	case *ast.BinaryExpr:
		s.compare(n)
	case *ast.SwitchStmt:
		if n.Tag != nil && s.isMethod(n.Tag) {
			for _, c := range n.Body.List {
				for _, e := range c.(*ast.CaseClause).List {
					s.Acts = s.Acts || isUnsafe(s.text(e))
				}
			}
		}
	case *ast.BlockStmt:
		s.afterGET(n)
	case *ast.IfStmt:
		s.leaving(n)
	}
	return true
}

// leaving notes a branch that ends the request. One of gin's goes on unless it calls
// Abort.
func (s *scanner) leaving(branch *ast.IfStmt) {
	list := branch.Body.List
	if len(list) == 0 {
		return
	}
	if _, ok := list[len(list)-1].(*ast.ReturnStmt); !ok {
		return
	}
	handsOn := false
	ast.Inspect(branch.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			_, declared := typeutil.Callee(s.TypesInfo, call).(*types.Func) // not next, but what answers
			handsOn = handsOn || !declared && handlerLike(s.TypesInfo.TypeOf(call.Fun))
		}
		if sel, ok := n.(*ast.SelectorExpr); ok {
			handsOn = handsOn || sel.Sel.Name == "ServeHTTP"
		}
		if e, ok := n.(ast.Expr); ok {
			t := namedOf(s.TypesInfo.TypeOf(e))
			handsOn = handsOn || t != nil && t.Obj().Name() == "Context" && isPath(pathOf(t.Obj()), "github.com/gin-gonic/gin")
		}
		return !handsOn
	})
	if !handsOn {
		s.Leaves = first(&s.leaves, list[len(list)-1].Pos())
	}
}

// afterGET finds a handler that answers GET first, and does something for all other
// methods below.
func (s *scanner) afterGET(block *ast.BlockStmt) {
	for i, stmt := range block.List {
		branch, ok := stmt.(*ast.IfStmt)
		if !ok {
			continue
		}
		cond, ok := ast.Unparen(branch.Cond).(*ast.BinaryExpr)
		if !ok || cond.Op != token.EQL || !s.isMethod(cond.X) || s.text(cond.Y) != "GET" {
			continue
		}
		var rest []ast.Node
		if branch.Else != nil {
			rest = append(rest, branch.Else)
		} else if endsFlow(branch.Body.List) {
			for _, later := range block.List[i+1:] {
				rest = append(rest, later)
			}
		}
		refuses := slices.ContainsFunc(rest, func(n ast.Node) bool { return mentions(s.pkg, n, "net/http", "StatusMethodNotAllowed") })
		s.Acts = s.Acts || len(rest) > 0 && !refuses
	}
}

// endsFlow reports whether a list of statements does not go on behind it.
func endsFlow(list []ast.Stmt) bool {
	if len(list) == 0 {
		return false
	}
	switch last := list[len(list)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	case *ast.ExprStmt:
		call, ok := last.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			return fun.Name == "panic"
		case *ast.SelectorExpr: // log.Fatal, os.Exit, runtime.Goexit
			return strings.HasPrefix(fun.Sel.Name, "Fatal") || fun.Sel.Name == "Exit" || fun.Sel.Name == "Goexit"
		}
	case *ast.BlockStmt:
		return endsFlow(last.List)
	case *ast.IfStmt:
		other, ok := last.Else.(*ast.BlockStmt)
		return ok && endsFlow(last.Body.List) && endsFlow(other.List)
	}
	return false
}

func mentions(p *pkg, n ast.Node, path string, names ...string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && slices.Contains(names, id.Name) {
			found = found || pathOf(p.TypesInfo.Uses[id]) == path
		}
		return !found
	})
	return found
}

func (s *scanner) isMethod(e ast.Expr) bool {
	sel, ok := ast.Unparen(e).(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Method" && isNamed(s.TypesInfo.TypeOf(sel.X), "net/http", "Request")
}

// text returns the value of a constant string, or "".
func (p *pkg) text(e ast.Expr) string {
	if v := p.TypesInfo.Types[e].Value; v != nil && v.Kind() == constant.String {
		return constant.StringVal(v)
	}
	return ""
}

func (s *scanner) compare(n *ast.BinaryExpr) {
	for _, side := range [2][2]ast.Expr{{n.X, n.Y}, {n.Y, n.X}} {
		if s.isMethod(side[0]) && isUnsafe(s.text(side[1])) {
			s.Acts = true
		}
		if sel, ok := ast.Unparen(side[0]).(*ast.SelectorExpr); ok && isClaims(s.TypesInfo.TypeOf(sel.X)) {
			s.Asks = first(&s.asks, n.Pos())
		}
	}
}

func (s *scanner) selector(n *ast.SelectorExpr) {
	obj := s.TypesInfo.Uses[n.Sel]
	path := pathOf(obj)
	switch name := n.Sel.Name; {
	case path == "net/http" && (name == "StatusUnauthorized" || name == "StatusForbidden"),
		isFramework(path) && (name == "ErrUnauthorized" || name == "ErrForbidden"):
		s.Refuses = first(&s.refuses, n.Pos())
	case path == "net/http" && isNamed(s.TypesInfo.TypeOf(n.X), "net/http", "Request"):
		switch name {
		case "PostForm", "PostFormValue", "MultipartReader", "MultipartForm", "FormFile", "ParseMultipartForm":
			s.Acts = true
		}
	}
}

// gate reports whether a function of walkin's decides about the visitor of a request.
func gate(room string, fn *types.Func) bool {
	name := fn.Name()
	switch {
	case strings.HasPrefix(name, "Require"):
		return true
	case room == "" || strings.HasPrefix(room, "adapters/"):
		switch name {
		case "Ensure", "Continue", "SignOut", "SignOutEverywhere", "Unlink", "CheckOrigin", "CheckRenderedFor",
			"StartFlow", "FlowIDs", "AccessToken", "Pass":
			return true
		}
		return false
	}
	switch name {
	case "New", "Remaining", "Pending", "OnRefuse", "Networks", "ClientNetworks":
		return false
	}
	for v := range fn.Signature().Params().Variables() {
		if isNamed(v.Type(), "net/http", "Request") {
			return true
		}
	}
	return false
}

func (s *scanner) call(call *ast.CallExpr) {
	for _, arg := range call.Args {
		if lit, ok := arg.(*ast.BasicLit); ok && (lit.Value == "401" || lit.Value == "403") {
			s.Refuses = first(&s.refuses, call.Pos())
		}
	}
	fn, _ := typeutil.Callee(s.TypesInfo, call).(*types.Func)
	if fn == nil {
		s.claims(call, s.TypesInfo.TypeOf(call))
		return
	}
	fn = fn.Origin()
	name := fn.Name()
	room, ours := roomOf(pathOf(fn))
	switch {
	case ours && gate(room, fn):
		s.Gates = first(&s.gates, call.Pos())
		return
	case ours && (name == "Refuse" || name == "RefuseForm"), strings.HasPrefix(name, "Abort"), name == "Redirect", pathOf(fn) == "net/http" && name == "Error":
		s.Answers = first(&s.answers, call.Pos())
		for _, arg := range call.Args {
			if to := s.text(arg); name == "Redirect" && strings.HasPrefix(to, "/") && isOpenPath(strings.SplitN(to, "?", 2)[0]) {
				s.Refuses = first(&s.refuses, call.Pos()) // to the sign-in page
			}
		}
		return
	case name == "NewDecoder" && len(call.Args) == 1:
		if sel, ok := call.Args[0].(*ast.SelectorExpr); ok && sel.Sel.Name == "Body" && isNamed(s.TypesInfo.TypeOf(sel.X), "net/http", "Request") {
			s.Acts = true
		}
	}
	s.claims(call, s.TypesInfo.TypeOf(call))
	said, known := s.saysOfFunc(fn)
	if !known {
		return
	}
	if said.Gates {
		s.Gates = first(&s.gates, call.Pos())
	}
	s.Touches = s.Touches || said.Touches
	for v := range fn.Signature().Params().Variables() {
		s.Acts = s.Acts || said.Acts && isNamed(v.Type(), "net/http", "Request")
	}
	if s.isVerdict(call, fn) {
		if said.Asks || said.Touches && said.Answers {
			s.Asks = first(&s.asks, call.Pos())
		}
		if said.Refuses {
			s.Refuses = first(&s.refuses, call.Pos())
		}
	}
}

// claims notes a call that returns claims with a bool or an error.
func (s *scanner) claims(call *ast.CallExpr, t types.Type) {
	results, ok := t.(*types.Tuple)
	if !ok || results.Len() != 2 || !isClaims(results.At(0).Type()) {
		return
	}
	if to := s.to[call]; s.dropped[call] || len(to) == 2 && isBlank(to[1]) {
		s.Touches = true
		return
	}
	s.Asks = first(&s.asks, call.Pos())
}

func isBlank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "_"
}

// isVerdict reports whether the caller checks a result by which the function can
// refuse: its last, when that is a bool, an error or a pointer.
func (s *scanner) isVerdict(call *ast.CallExpr, fn *types.Func) bool {
	results := fn.Signature().Results()
	if results.Len() == 0 || s.dropped[call] {
		return false
	}
	if to := s.to[call]; len(to) == results.Len() && isBlank(to[len(to)-1]) {
		return false
	}
	switch t := types.Unalias(results.At(results.Len() - 1).Type()).Underlying().(type) {
	case *types.Basic:
		return t.Kind() == types.Bool
	case *types.Pointer:
		return true
	case *types.Interface:
		return types.Identical(t, types.Universe.Lookup("error").Type().Underlying())
	}
	return false
}

// saysOfFunc returns what a function of this package or of one that was analyzed
// before says.
func (p *pkg) saysOfFunc(fn *types.Func) (says, bool) {
	if decl := p.decls[fn]; decl != nil {
		return p.saysOf(decl), true
	}
	var fact summary
	if fn.Pkg() != nil && fn.Pkg() != p.Pkg && p.ImportObjectFact(fn, &fact) {
		return fact.Says, true
	}
	return says{}, false
}
