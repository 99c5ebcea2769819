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

// settings checks what walkin's structs are filled with, wherever the fields are.
func (p *pkg) settings() {
	s := &literals{pkg: p, assigned: map[types.Object][]ast.Expr{}}
	for _, file := range p.Files {
		ast.Inspect(file, s.collect)
	}
	for _, file := range p.Files {
		if !slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing"` }) {
			ast.Inspect(file, s.check)
		}
	}
}

// literals knows what each variable of the package is given.
type literals struct {
	*pkg
	assigned map[types.Object][]ast.Expr
}

func (s *literals) collect(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for i, e := range n.Lhs {
			if id, ok := e.(*ast.Ident); ok && id.Name != "_" && (len(n.Rhs) == len(n.Lhs) || i == 0) {
				obj := s.TypesInfo.ObjectOf(id)
				s.assigned[obj] = append(s.assigned[obj], n.Rhs[min(i, len(n.Rhs)-1)])
			}
		}
	case *ast.ValueSpec:
		for i, id := range n.Names {
			if i < len(n.Values) {
				obj := s.TypesInfo.ObjectOf(id)
				s.assigned[obj] = append(s.assigned[obj], n.Values[i])
			}
		}
	}
	return true
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
		if v := s.TypesInfo.Types[e].Value; v != nil && v.Kind() == constant.Bool && constant.BoolVal(v) {
			s.report(pos, "insecure", "Insecure is a constant, so production sets cookies that anybody on the way can take, too: make it a setting")
		}
	case "Secret", "Key", "Keys", "OldKeys", "AnonymousKeys", "SecretKeys", "ClientSecret":
		if s.isLiteral(e, nil) {
			s.report(pos, "secret", "a secret"+inSource)
		}
	}
}

// isLiteral reports whether bytes or a string are in the source: as a constant, or as
// the result of a function that only turns constants into other constants.
func (s *literals) isLiteral(e ast.Expr, seen []types.Object) bool {
	if v := s.TypesInfo.Types[e].Value; v != nil {
		return v.Kind() == constant.String && constant.StringVal(v) != ""
	}
	switch e := ast.Unparen(e).(type) {
	case *ast.CompositeLit:
		return s.listOfLiterals(e, seen)
	case *ast.SliceExpr:
		return s.isLiteral(e.X, seen)
	case *ast.Ident:
		obj := s.TypesInfo.ObjectOf(e)
		if slices.Contains(seen, obj) {
			return false
		}
		return slices.ContainsFunc(s.assigned[obj], func(e ast.Expr) bool { return s.isLiteral(e, append(seen, obj)) })
	case *ast.CallExpr:
		if s.TypesInfo.Types[e.Fun].IsType() {
			return s.isLiteral(e.Args[0], seen)
		}
		return s.callOfLiterals(e, seen)
	}
	return false
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
	fn, ok := typeutil.Callee(s.TypesInfo, call).(*types.Func)
	if !ok {
		return false
	}
	switch path := pathOf(fn); {
	case path == "cmp" && fn.Name() == "Or":
		return slices.ContainsFunc(call.Args, func(e ast.Expr) bool { return s.isLiteral(e, seen) })
	case strings.HasPrefix(path, "encoding/"), strings.HasPrefix(path, "crypto/sha"), path == "strings" || path == "bytes":
		return len(call.Args) > 0 && s.isLiteral(call.Args[0], seen)
	}
	return false
}
