package analyzer

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// settings checks what walkin's structs are filled with, wherever the fields are.
func (p *pkg) settings() {
	var files []*ast.File
	for _, file := range p.Files {
		if !slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing"` }) {
			files = append(files, file)
		}
	}
	s := &literals{pkg: p, variables: p.variables(files), args: map[types.Object]ast.Expr{}}
	for _, file := range files {
		ast.Inspect(file, s.check)
	}
}

// literals knows what each variable and each field of the package is given.
type literals struct {
	*pkg
	*variables
	args map[types.Object]ast.Expr // of the call that is looked into
}

func (s *literals) check(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CompositeLit:
		t, ok := types.Unalias(s.TypesInfo.TypeOf(n)).Underlying().(*types.Struct)
		if _, _, ours := roomOfType(s.TypesInfo.TypeOf(n)); !ok || !ours {
			return true
		}
		for i, elem := range n.Elts {
			if kv, ok := elem.(*ast.KeyValueExpr); ok {
				s.field(kv.Key.(*ast.Ident).Name, kv.Value, kv.Pos())
			} else if i < t.NumFields() {
				s.field(t.Field(i).Name(), elem, elem.Pos())
			}
		}
	case *ast.AssignStmt:
		for i, e := range n.Lhs {
			sel, ok := e.(*ast.SelectorExpr)
			if !ok || len(n.Lhs) != len(n.Rhs) {
				continue
			}
			if _, _, ours := roomOfType(s.TypesInfo.TypeOf(sel.X)); ours {
				s.field(sel.Sel.Name, n.Rhs[i], n.Pos())
			}
		}
	case *ast.CallExpr:
		s.arguments(n)
	}
	return true
}

const inSource = " is in the source, where it never changes and everybody with the source has it: read it from a file or the environment"

// arguments checks what walkin's functions are called with.
func (s *literals) arguments(call *ast.CallExpr) {
	fn, ok := typeutil.Callee(s.TypesInfo, call).(*types.Func)
	if !ok {
		return
	} else if _, ours := roomOf(pathOf(fn)); !ours {
		return
	}
	params := fn.Signature().Params()
	for i, arg := range call.Args {
		switch {
		case i >= params.Len() || !s.isLiteral(arg, nil):
		case fn.Name() == "ParseJWKS":
			s.report(call.Pos(), "secret", "a key"+inSource)
		case strings.HasSuffix(strings.ToLower(params.At(i).Name()), "secret"):
			s.report(call.Pos(), "secret", "a secret"+inSource)
		}
	}
}

func (s *literals) field(name string, e ast.Expr, pos token.Pos) {
	switch name {
	case "Insecure":
		if s.isTrue(e, nil) {
			s.report(pos, "insecure", "Insecure is a constant, so production sets cookies that anybody on the way can take, too: make it a setting")
		}
	case "Secret", "Key", "Keys", "OldKeys", "AnonymousKeys", "SecretKeys", "ClientSecret":
		if s.isLiteral(e, nil) {
			s.report(pos, "secret", "a secret"+inSource)
		}
	}
}

// isTrue reports whether an expression is true whatever happens: a constant, a variable
// that is given nothing else, or a call of a function that returns nothing else.
func (s *literals) isTrue(e ast.Expr, seen []types.Object) bool {
	if e == nil {
		return false
	} else if v := s.TypesInfo.Types[e].Value; v != nil {
		return v.Kind() == constant.Bool && constant.BoolVal(v)
	}
	all := func(given []ast.Expr, seen []types.Object) bool {
		return len(given) > 0 && !slices.ContainsFunc(given, func(e ast.Expr) bool { return !s.isTrue(e, seen) })
	}
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		obj := s.TypesInfo.ObjectOf(e)
		elsewhere := obj.Exported() && obj.Pkg() != nil && obj.Parent() == obj.Pkg().Scope() // others may set it
		return !elsewhere && !slices.Contains(seen, obj) && all(s.given[obj], append(seen, obj))
	case *ast.CallExpr:
		fn, returned := s.returned(e, seen)
		return all(returned, append(seen, fn))
	}
	return false
}

// returned is what a function of this package returns as its first result.
func (s *literals) returned(call *ast.CallExpr, seen []types.Object) (fn types.Object, out []ast.Expr) {
	callee, ok := typeutil.Callee(s.TypesInfo, call).(*types.Func)
	if !ok || slices.Contains(seen, types.Object(callee)) {
		return nil, nil
	}
	if decl := s.decls[callee.Origin()]; decl != nil && decl.Body != nil {
		ast.Inspect(decl.Body, func(n ast.Node) bool {
			if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) > 0 {
				out = append(out, r.Results[0])
			}
			_, inner := n.(*ast.FuncLit)
			return !inner
		})
	}
	return callee, out
}

// isLiteral reports whether bytes or a string are in the source: as a constant, or as
// the result of a function that only turns constants into other constants.
func (s *literals) isLiteral(e ast.Expr, seen []types.Object) bool {
	if e == nil {
		return false
	} else if v := s.TypesInfo.Types[e].Value; v != nil {
		return v.Kind() == constant.String && constant.StringVal(v) != ""
	}
	switch e := ast.Unparen(e).(type) {
	case *ast.CompositeLit:
		return s.listOfLiterals(e, seen)
	case *ast.SliceExpr:
		return s.isLiteral(e.X, seen)
	case *ast.StarExpr:
		return s.isLiteral(e.X, seen)
	case *ast.BinaryExpr:
		return s.isLiteral(e.X, seen) && s.isLiteral(e.Y, seen)
	case *ast.Ident:
		return s.isGivenLiteral(s.TypesInfo.ObjectOf(e), seen)
	case *ast.SelectorExpr:
		return s.isGivenLiteral(s.TypesInfo.ObjectOf(e.Sel), seen)
	case *ast.CallExpr:
		if s.TypesInfo.Types[e.Fun].IsType() {
			return s.isLiteral(e.Args[0], seen)
		}
		return s.callOfLiterals(e, seen)
	}
	return false
}

func (s *literals) isGivenLiteral(obj types.Object, seen []types.Object) bool {
	if obj == nil || slices.Contains(seen, obj) {
		return false
	}
	seen = append(seen, obj)
	return s.isLiteral(s.args[obj], seen) || slices.ContainsFunc(s.given[obj], func(e ast.Expr) bool { return s.isLiteral(e, seen) })
}

// listOfLiterals: []byte{1, 2}, or a slice with a literal in it.
func (s *literals) listOfLiterals(e *ast.CompositeLit, seen []types.Object) bool {
	if _, ok := types.Unalias(s.TypesInfo.TypeOf(e)).Underlying().(*types.Struct); ok {
		return false // checked by itself
	}
	numbers := 0
	for _, elem := range e.Elts {
		if kv, ok := elem.(*ast.KeyValueExpr); ok {
			elem = kv.Value
		}
		if v := s.TypesInfo.Types[elem].Value; v != nil && v.Kind() == constant.Int {
			numbers++
			continue
		}
		if s.isLiteral(elem, seen) {
			return true
		}
	}
	return numbers > 0 && numbers == len(e.Elts)
}

func (s *literals) callOfLiterals(call *ast.CallExpr, seen []types.Object) bool {
	literal := func(e ast.Expr) bool { return s.isLiteral(e, seen) }
	switch fn := typeutil.Callee(s.TypesInfo, call).(type) {
	case *types.Builtin: // append([]byte(nil), key...)
		last := call.Args[len(call.Args)-1]
		first, empty := ast.Unparen(call.Args[0]).(*ast.CallExpr)
		empty = empty && len(first.Args) > 0 && s.TypesInfo.Types[first.Args[0]].IsNil()
		if list, ok := ast.Unparen(call.Args[0]).(*ast.CompositeLit); ok {
			empty = len(list.Elts) == 0
		}
		return fn.Name() == "append" && call.Ellipsis.IsValid() && literal(last) && (empty || literal(call.Args[0]))
	case *types.Func:
		switch path := pathOf(fn); {
		case path == "cmp" && fn.Name() == "Or":
			return slices.ContainsFunc(call.Args, literal)
		case path == "flag" && fn.Name() == "String":
			return literal(call.Args[1])
		case path == "fmt" && strings.HasPrefix(fn.Name(), "Sprint"):
			return len(call.Args) > 1 && !slices.ContainsFunc(call.Args, func(e ast.Expr) bool { return !literal(e) })
		case strings.HasPrefix(path, "encoding/"), strings.HasPrefix(path, "crypto/sha"), path == "strings", path == "bytes", path == "slices":
			return len(call.Args) > 0 && literal(call.Args[0])
		}
		return s.returnsLiteral(fn, call, seen)
	}
	return false
}

// returnsLiteral looks into a function of this package, with the arguments of this call.
func (s *literals) returnsLiteral(fn *types.Func, call *ast.CallExpr, seen []types.Object) bool {
	callee, returned := s.returned(call, seen)
	outer := s.args
	s.args = maps.Clone(outer)
	defer func() { s.args = outer }()
	for i := range min(fn.Origin().Signature().Params().Len(), len(call.Args)) {
		s.args[fn.Origin().Signature().Params().At(i)] = call.Args[i]
	}
	return slices.ContainsFunc(returned, func(e ast.Expr) bool { return s.isLiteral(e, append(seen, callee)) })
}
