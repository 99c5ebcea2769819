package analyzer

import (
	"go/types"
	"regexp"
	"slices"
	"strings"
)

const module = "github.com/walkin-go/walkin"

// roomOf returns which package of walkin's a path is: "" for the root, "quota",
// "adapters/ginwalkin". The example counts as an app like any other.
func roomOf(path string) (room string, ok bool) {
	rest, ok := strings.CutPrefix(path, module)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	room = strings.TrimPrefix(rest, "/")
	first, _, _ := strings.Cut(room, "/")
	return room, first != "example" && first != "bench" && first != "cmd"
}

func pathOf(obj types.Object) string {
	if obj == nil || obj.Pkg() == nil {
		return ""
	}
	return obj.Pkg().Path()
}

// roomOfType returns the room that declares a type, or that of what it points to.
func roomOfType(t types.Type) (room, name string, ok bool) {
	named := namedOf(t)
	if named == nil {
		return "", "", false
	}
	room, ok = roomOf(pathOf(named.Obj()))
	return room, named.Obj().Name(), ok
}

func namedOf(t types.Type) *types.Named {
	if t == nil {
		return nil
	}
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	named, _ := t.(*types.Named)
	return named
}

func isNamed(t types.Type, path, name string) bool {
	named := namedOf(t)
	return named != nil && named.Obj().Name() == name && pathOf(named.Obj()) == path
}

func isClaims(t types.Type) bool {
	_, name, ours := roomOfType(t)
	return ours && name == "Claims"
}

// frameworkOf says which router a type is, if it is one.
func frameworkOf(t types.Type) (framework, bool) {
	named := namedOf(t)
	if named == nil {
		return 0, false
	}
	path, name := pathOf(named.Obj()), named.Obj().Name()
	is := func(names ...string) bool { return slices.Contains(names, name) }
	switch {
	case path == "net/http" && is("ServeMux"):
		return serveMux, true
	case isPath(path, "github.com/go-chi/chi") && is("Router", "Mux"):
		return chiRouter, true
	case isPath(path, "github.com/gin-gonic/gin") && is("Engine", "RouterGroup", "IRouter", "IRoutes"):
		return ginRouter, true
	case isPath(path, "github.com/labstack/echo") && is("Echo", "Group"):
		return echoRouter, true
	}
	return 0, false
}

// isPath reports whether path is that package, of any major version.
func isPath(path, want string) bool {
	rest, ok := strings.CutPrefix(path, want)
	return ok && (rest == "" || len(rest) > 2 && rest[:2] == "/v" && strings.Trim(rest[2:], "0123456789") == "")
}

func isNetHTTP(path string) bool { return path == "net/http" || strings.HasPrefix(path, "net/http/") }

func isFramework(path string) bool {
	return isPath(path, "github.com/go-chi/chi") || isPath(path, "github.com/gin-gonic/gin") || isPath(path, "github.com/labstack/echo")
}

// handlerLike reports whether a type is a handler of net/http's or a framework's.
func handlerLike(t types.Type) bool {
	if t == nil {
		return false
	}
	if named := namedOf(t); named != nil {
		switch path, name := pathOf(named.Obj()), named.Obj().Name(); {
		case path == "net/http" && (name == "Handler" || name == "HandlerFunc"), isFramework(path) && name == "HandlerFunc":
			return true
		}
		if _, ok := frameworkOf(t); ok {
			return true
		}
		if obj, _, _ := types.LookupFieldOrMethod(t, true, nil, "ServeHTTP"); obj != nil {
			return true
		}
	}
	s, ok := types.Unalias(t).Underlying().(*types.Signature)
	return ok && isHandlerSignature(s)
}

// isHandlerSignature: func(w, r), with or without a result, or func of a framework's
// context.
func isHandlerSignature(s *types.Signature) bool {
	p := s.Params()
	switch {
	case p.Len() >= 2 && isNamed(p.At(0).Type(), "net/http", "ResponseWriter") && isNamed(p.At(1).Type(), "net/http", "Request"):
		return true
	case p.Len() == 1 && s.Results().Len() <= 1:
		return isFrameworkContext(p.At(0).Type()) && (s.Results().Len() == 0 || !handlerLike(s.Results().At(0).Type()))
	}
	return false
}

func isFrameworkContext(t types.Type) bool {
	named := namedOf(t)
	return named != nil && named.Obj().Name() == "Context" && isFramework(pathOf(named.Obj()))
}

// middlewareLike reports whether a type is a function from handler to handler.
func middlewareLike(t types.Type) bool {
	if t == nil {
		return false
	}
	s, ok := types.Unalias(t).Underlying().(*types.Signature)
	return ok && s.Params().Len() == 1 && s.Results().Len() == 1 &&
		handlerLike(s.Params().At(0).Type()) && handlerLike(s.Results().At(0).Type())
}

// holdsHandlers reports whether values of a type are or hold handlers, middlewares or
// routers: a list of them, a struct with one, an interface that handles requests.
func holdsHandlers(t types.Type, depth int) bool {
	if handlerLike(t) || middlewareLike(t) {
		return true
	} else if depth > 3 {
		return false
	}
	if named := namedOf(t); named != nil && named.Obj().Pkg() != nil {
		if path := pathOf(named.Obj()); isNetHTTP(path) || isFramework(path) {
			return false // what they hold is their own
		}
	}
	switch t := types.Unalias(t).Underlying().(type) {
	case *types.Pointer:
		return holdsHandlers(t.Elem(), depth)
	case *types.Slice:
		return holdsHandlers(t.Elem(), depth+1)
	case *types.Array:
		return holdsHandlers(t.Elem(), depth+1)
	case *types.Map:
		return holdsHandlers(t.Elem(), depth+1)
	case *types.Struct:
		for f := range t.Fields() {
			if holdsHandlers(f.Type(), depth+1) {
				return true
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			if s := m.Signature(); isHandlerSignature(s) || s.Results().Len() == 1 && handlerLike(s.Results().At(0).Type()) {
				return true
			}
		}
	}
	return false
}

// unsafeMethods are those that RFC 9110 does not call safe and that forms and
// scripts send.
func isUnsafe(method string) bool {
	switch strings.ToUpper(method) {
	case "POST", "PUT", "PATCH", "DELETE":
		return true
	}
	return false
}

// authLike are names of middlewares of other packages that check credentials of their
// own. What is behind one is not for walkin's visitors in the first place.
var authLike = regexp.MustCompile(`(?i)auth|jwt|apikey|signature|hmac|verif|require|login|guard|permission`)

// isOpenPath reports whether a route is meant for visitors without a user: the app's
// own sign-in, or a webhook, which proves itself by a signature.
func isOpenPath(path string) bool {
	for segment := range strings.SplitSeq(strings.ToLower(path), "/") {
		switch strings.NewReplacer("-", "", "_", "", "{$}", "").Replace(segment) {
		case "login", "signin", "logon", "signup", "register", "logout", "signout", "logoff", "signoff",
			"auth", "oauth", "oauth2", "webhook", "webhooks", "hook", "hooks", "forgotpassword", "resetpassword", "passwordreset":
			return true
		}
	}
	return false
}

// isPrivatePath reports whether the path says that a route is not for everybody, also
// where nothing else of the site does.
func isPrivatePath(path string) bool {
	for segment := range strings.SplitSeq(strings.ToLower(path), "/") {
		switch segment {
		case "admin", "account", "accounts", "profile", "settings", "billing", "dashboard", "me", "my", "internal", "private", "members":
			return true
		}
	}
	return false
}
