// Package analyzer finds where a site gives visitors more access than intended: routes
// that write and stand outside of all guards, claims that are used without a check that
// there are any, errors that are dropped. It knows walkin's guards by their types, not
// by their names in the app. See docs/linting.md.
package analyzer

import (
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer is for go vet -vettool, and for other drivers of go/analysis.
var Analyzer = &analysis.Analyzer{
	Name:      "walkinvet",
	Doc:       "find writes that every visitor reaches, and other mistakes with walkin's users",
	URL:       "https://github.com/walkin-go/walkin/blob/main/docs/linting.md",
	Run:       run,
	Flags:     flags(),
	FactTypes: []analysis.Fact{(*summary)(nil), (*users)(nil)},
}

// Note is the category of what is said with the flag -notes. It is no finding.
const Note = "note"

func flags() flag.FlagSet {
	var f flag.FlagSet
	f.Bool("notes", false, "also say where writes were not judged, since nothing in the site asks who sends them")
	return f
}

// Rules returns the categories of what the analyzer reports, with the meaning of each.
func Rules() [][2]string {
	return [][2]string{
		{"route", "A route writes, every visitor reaches it, and nothing asks who they are."},
		{"guard", "A guard stands outside of Handler and refuses every visitor."},
		{"claims", "Claims are used although there may be none: a request without a user passes for a permanent one."},
		{"newcontext", "Claims are made up outside of tests."},
		{"error", "An error of Ensure, Continue or SignOut is dropped."},
		{"return", "A handler goes on after it has refused."},
		{"late", "A user is made after the response has begun, when its cookie can no longer be sent."},
		{"insecure", "Cookies without Secure are set as a constant, also in production."},
		{"secret", "A key is in the source."},
		{"directive", "A directive has no reason, or there is none of its name."},
	}
}

// A pkg is one package under analysis.
type pkg struct {
	*analysis.Pass
	directives directives
	decls      map[*types.Func]*ast.FuncDecl
	relevant   map[*ast.FuncDecl]bool
	said       map[ast.Node]says
	vars       *variables
	knowsUsers bool
}

func run(pass *analysis.Pass) (any, error) {
	if _, ours := roomOf(pass.Pkg.Path()); ours || !concerned(pass) {
		return nil, nil
	}
	p := &pkg{Pass: pass, decls: map[*types.Func]*ast.FuncDecl{}, relevant: map[*ast.FuncDecl]bool{}, said: map[ast.Node]says{}}
	p.directives = readDirectives(pass)
	for _, file := range pass.Files {
		for _, d := range file.Decls {
			if decl, ok := d.(*ast.FuncDecl); ok {
				if fn, ok := pass.TypesInfo.Defs[decl.Name].(*types.Func); ok {
					p.decls[fn] = decl
				}
			}
		}
	}
	p.vars = p.variables(pass.Files)
	p.findUsers()
	p.findRelevant()
	w := p.routes()
	if notes := pass.Analyzer.Flags.Lookup("notes"); notes.Value.String() == "true" && len(w.unasked) > 0 {
		p.report(w.unasked[0], Note, "nothing in this site asks who sends a request, so routes that write were not judged: %d in this package", len(w.unasked))
	}
	p.calls()
	p.claims(w)
	p.settings()
	p.directives.check(p)
	return nil, nil
}

// concerned reports whether a package may have anything to do with requests. A module
// that a go.mod names by version is not the site's own. It is known by its types alone.
func concerned(pass *analysis.Pass) bool {
	if len(pass.Files) == 0 || pass.Module != nil && pass.Module.Version != "" {
		return false
	}
	for _, imported := range pass.Pkg.Imports() {
		path := imported.Path()
		if path == "net/http" || path == module || strings.HasPrefix(path, module+"/") || isFramework(path) {
			return true
		}
	}
	return false
}

// findUsers reports whether the package, or one that it imports, tells visitors apart.
func (p *pkg) findUsers() {
	for _, obj := range p.TypesInfo.Uses {
		room, ours := roomOf(pathOf(obj))
		if !ours || obj.Pkg() == p.Pkg {
			continue
		}
		switch name := obj.Name(); o := obj.(type) {
		case *types.Func:
			p.knowsUsers = p.knowsUsers || gate(room, o) || name == "FromContext" || strings.HasPrefix(room, "adapters/") && name == "Claims" ||
				name == "UpgradeHandler" || name == "SignInHandler" || name == "SignOutHandler" || name == "FormHandler"
		case *types.TypeName:
			p.knowsUsers = p.knowsUsers || isClaims(o.Type())
		}
	}
	for _, fact := range p.AllPackageFacts() {
		if u, ok := fact.Fact.(*users); ok {
			p.knowsUsers = p.knowsUsers || u.Known
		}
	}
	if p.knowsUsers {
		p.ExportPackageFact(&users{Known: true})
	}
}

// routes walks through the package's functions twice, so that the order in which
// fields and variables are set up does not matter, and then follows the requests.
func (p *pkg) routes() *walker {
	ev := &evaluator{pkg: p, globals: map[types.Object]value{}, fields: map[*types.Var]value{}, running: map[ast.Node]bool{}}
	var sorted []*ast.FuncDecl
	for _, file := range p.Files {
		for _, d := range file.Decls {
			if decl, ok := d.(*ast.FuncDecl); ok && p.decls[p.funcOf(decl)] == decl {
				sorted = append(sorted, decl)
			}
		}
	}
	for _, last := range []bool{false, true} {
		ev.roots, ev.sinks, ev.steps = nil, nil, 0
		for _, file := range p.Files {
			for _, d := range file.Decls {
				if vars, ok := d.(*ast.GenDecl); ok {
					ev.declare(vars, ev.frame(nil))
				}
			}
		}
		for _, decl := range sorted {
			ev.summarize(decl, last)
		}
	}
	w := &walker{pkg: p, reached: map[ast.Node]reach{}, found: map[token.Pos]bool{}}
	for _, n := range ev.roots {
		w.walk(n, state{}, nil)
	}
	for _, n := range ev.sinks {
		w.walk(n, state{served: true}, nil)
	}
	return w
}

func (p *pkg) funcOf(decl *ast.FuncDecl) *types.Func {
	fn, _ := p.TypesInfo.Defs[decl.Name].(*types.Func)
	return fn
}

// report reports a finding, unless it is in a test or a directive allows it.
func (p *pkg) report(pos token.Pos, category, format string, args ...any) {
	at := p.Fset.Position(pos)
	if strings.HasSuffix(at.Filename, "_test.go") || category != "directive" && p.directives.covers(at) {
		return
	}
	p.Pass.Report(analysis.Diagnostic{Pos: pos, Category: category, Message: fmt.Sprintf(format, args...)})
}
