package echowalkin_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echowalkin"
	"github.com/walkin-go/walkin/adapters/internal/suite"
	"github.com/walkin-go/walkin/walkintest"
)

func TestSuite(t *testing.T) {
	suite.Run(t, suite.Stack{New: app, OnRefuse: echowalkin.OnRefuse, Logs: true, Sockets: true})
}

func app(a *suite.App) http.Handler {
	wk := a.Walkin
	who := func(c *echo.Context) error {
		a.Ran()
		return c.String(http.StatusOK, suite.Who(echowalkin.Claims(c)))
	}
	log := func(where string) echo.MiddlewareFunc {
		return func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c *echo.Context) error {
				err := next(c)
				response, status := echo.ResolveResponseStatus(c.Response(), err)
				a.Log(where, status, int(response.Size))
				return err
			}
		}
	}
	e := echo.New()
	e.Logger = slog.New(slog.DiscardHandler)
	e.HTTPErrorHandler = errorPages
	e.Use(log("outside"), middleware.RecoverWithConfig(middleware.RecoverConfig{DisablePrintStack: true}),
		echowalkin.Handler(wk), log("inside"))
	both := []string{http.MethodGet, http.MethodPost}

	e.Match(both, "/", who)
	e.GET("/std", echo.WrapHandler(suite.Handler(a)))
	e.Match(both, "/user", who, echowalkin.RequireUser(wk))
	e.Match(both, "/permanent", who, echowalkin.RequirePermanent(wk))
	e.GET("/rule", who, echowalkin.Require(wk, a.Rule))
	e.Group("/group", echowalkin.RequirePermanent(wk)).GET("/page", who)
	e.Match(both, "/ensure", func(c *echo.Context) error {
		claims, err := echowalkin.Ensure(wk, c)
		if err != nil {
			return fmt.Errorf("adding a note: %w", err)
		}
		a.Ran()
		return c.String(http.StatusOK, suite.Who(claims, true))
	})
	e.Match(both, "/continue", func(c *echo.Context) error {
		outcome, err := echowalkin.Continue(wk, c, a.Proof(c.Request()))
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, string(outcome))
	})
	e.GET("/refuse", func(*echo.Context) error { return suite.Gone })
	e.Match(both, "/sign-up", echowalkin.WrapHandler(wk.UpgradeHandler(a.Credential(), a.Page)))
	e.Match(both, "/sign-out", echowalkin.WrapHandler(wk.SignOutHandler()))
	e.GET("/count", func(c *echo.Context) error {
		return c.String(http.StatusOK, a.Count(c.Request().Context()))
	}, echowalkin.WrapMiddleware(wk.LoadAndSave(a.Sessions)))
	e.GET("/count-flush", func(c *echo.Context) error {
		text := a.Count(c.Request().Context())
		if err := http.NewResponseController(c.Response()).Flush(); err != nil {
			return err
		}
		_, err := io.WriteString(c.Response(), text)
		return err
	}, echowalkin.WrapMiddleware(wk.LoadAndSave(a.Sessions)))

	public := func(path string, answer echo.HandlerFunc) {
		e.GET(path, func(c *echo.Context) error {
			suite.Public(c.Response().Header())
			return answer(c)
		})
	}
	public("/public", func(c *echo.Context) error { return c.String(http.StatusOK, "for everyone") })
	public("/nothing", func(*echo.Context) error { return nil })
	public("/empty", func(c *echo.Context) error { return c.NoContent(http.StatusNoContent) })
	public("/unchanged", func(c *echo.Context) error { return c.NoContent(http.StatusNotModified) })
	e.GET("/error", func(*echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "as the suite wants") })
	e.Match(both, "/panic", func(*echo.Context) error { a.Ran(); panic("as the suite wants") })

	e.GET("/events", func(c *echo.Context) error {
		c.Response().Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(c.Response()).Flush
		if err := flush(); err != nil {
			return err
		}
		for event := range a.Events {
			if _, err := fmt.Fprintf(c.Response(), "data: %s\n\n", event); err != nil {
				return err
			}
			if err := flush(); err != nil {
				return err
			}
		}
		return nil
	})
	e.GET("/controller", func(c *echo.Context) error {
		_, err := io.WriteString(c.Response(), suite.Control(c.Response()))
		return err
	})
	e.GET("/gorilla", echo.WrapHandler(suite.Socket(gorilla)))
	e.GET("/coder", echo.WrapHandler(suite.Socket(coder)))
	return e
}

// TestResponse holds that c.Response is echo's own throughout, and its hooks
// cannot make a response with a cookie one for caches.
func TestResponse(t *testing.T) {
	a := suite.NewApp(t)
	var outside, inside http.ResponseWriter
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			outside = c.Response()
			return next(c)
		}
	}, echowalkin.Handler(a.Walkin))
	e.GET("/", func(c *echo.Context) error {
		inside = c.Response()
		c.Response().(*echo.Response).Before(func() { suite.Public(c.Response().Header()) })
		return c.String(http.StatusOK, "text")
	})
	client := walkintest.NewClient(t, e)
	for _, want := range []string{"private, no-store", "public, max-age=600"} {
		if got := client.Visit("/").Header.Get("Cache-Control"); got != want {
			t.Errorf("got Cache-Control %q, want %q", got, want)
		}
		if inside != outside {
			t.Errorf("got another response inside of walkin than outside")
		}
	}
}

// TestRefusalAfterAnswer holds that nothing is added to an answer that has been
// given.
func TestRefusalAfterAnswer(t *testing.T) {
	a := suite.NewApp(t)
	e := echo.New()
	e.Use(echowalkin.Handler(a.Walkin))
	e.GET("/", func(c *echo.Context) error {
		if err := c.String(http.StatusOK, "text"); err != nil {
			return err
		}
		return suite.Gone
	})
	response := walkintest.NewClient(t, e).Fetch("/")
	if got, err := io.ReadAll(response.Body); string(got) != "text" || err != nil {
		t.Errorf("got %q, %v, want the text alone", got, err)
	}
}

// TestLogger holds that a refusal which a handler returns is answered as one, and
// logged, where a logger stands as the package says.
func TestLogger(t *testing.T) {
	a := suite.NewApp(t)
	var logged strings.Builder
	e := echo.New()
	e.Use(middleware.RequestLoggerWithConfig(middleware.RequestLoggerConfig{
		LogStatus: true, HandleError: true,
		LogValuesFunc: func(_ *echo.Context, v middleware.RequestLoggerValues) error {
			_, err := fmt.Fprintln(&logged, v.Status)
			return err
		},
	}), middleware.Recover(), echowalkin.Handler(a.Walkin))
	e.GET("/", func(*echo.Context) error { return suite.Gone })
	response := walkintest.NewClient(t, e).Fetch("/")
	if got, want := logged.String(), "410\n"; response.StatusCode != http.StatusGone || got != want {
		t.Errorf("got %d, and %q in the log, want 410 and %q", response.StatusCode, got, want)
	}
}

// TestDefaultErrorHandler holds that a refusal left to echo gets its status and
// its message without any code of the app's.
func TestDefaultErrorHandler(t *testing.T) {
	a := suite.NewApp(t, func(c *walkin.Config) { c.OnRefuse = echowalkin.OnRefuse })
	e := echo.New()
	e.Use(echowalkin.Handler(a.Walkin))
	e.GET("/", func(*echo.Context) error { return nil }, echowalkin.RequirePermanent(a.Walkin))
	response := walkintest.NewClient(t, e).Visit("/")
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"message":"An account is needed for this."}` + "\n"; response.StatusCode != http.StatusForbidden || string(got) != want {
		t.Errorf("got %d %q, want 403 %q", response.StatusCode, got, want)
	}
}

// bare is a writer without the Unwrap that echo asks for.
type bare struct{ http.ResponseWriter }

func TestWriterWithoutUnwrap(t *testing.T) {
	a := suite.NewApp(t)
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.SetResponse(bare{c.Response()})
			return next(c)
		}
	}, echowalkin.Handler(a.Walkin))
	e.GET("/", func(c *echo.Context) error {
		suite.Public(c.Response().Header())
		return c.String(http.StatusOK, suite.Who(echowalkin.Claims(c)))
	})
	response := walkintest.NewClient(t, e).Visit("/")
	if got := response.Header.Get("Cache-Control"); len(response.Cookies()) != 1 || got != "private, no-store" {
		t.Errorf("got %d cookies with Cache-Control %q, want one for no cache", len(response.Cookies()), got)
	}
}

// errorPages is the app's own error handler.
func errorPages(c *echo.Context, err error) {
	if response, _ := echo.UnwrapResponse(c.Response()); response != nil && response.Committed {
		return
	}
	if refusal, ok := errors.AsType[*walkin.Refusal](err); ok {
		_ = c.String(refusal.Status, suite.OwnPage(refusal))
		return
	}
	if echo.StatusCode(err) == http.StatusTeapot {
		suite.Public(c.Response().Header())
		_ = c.String(http.StatusTeapot, suite.ErrorPage)
		return
	}
	echo.DefaultHTTPErrorHandler(false)(c, err)
}

// TestSameWithoutUs holds that echo, its response and its error handling behave with
// walkin as without.
func TestSameWithoutUs(t *testing.T) { suite.Same(t, plainApp) }

func plainApp(b *suite.Bare) http.Handler {
	e := echo.New()
	e.Logger = slog.New(slog.DiscardHandler)
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			err := next(c)
			response, _ := echo.UnwrapResponse(c.Response())
			b.Saw(response.Status, response.Size, response.Committed, c.Path(), c.Request().Form, c.Request().MultipartForm != nil, err)
			return err
		}
	}, middleware.RecoverWithConfig(middleware.RecoverConfig{DisablePrintStack: true}))
	if b.Walkin != nil {
		e.Use(echowalkin.Handler(b.Walkin))
	}
	if b.Sessions != nil {
		e.Use(echowalkin.WrapMiddleware(b.Walkin.LoadAndSave(b.Sessions)))
	}
	for path, h := range b.Routes {
		e.Any(path, echo.WrapHandler(h))
	}
	e.GET("/page/:id", func(c *echo.Context) error {
		suite.Tell(c.Response(), c.Request())
		return c.String(http.StatusOK, c.Param("id")+c.Path())
	})
	native := e.Group("/native")
	native.GET("/text", func(c *echo.Context) error { return c.String(http.StatusAccepted, "a text") })
	native.GET("/json", func(c *echo.Context) error { return c.JSON(http.StatusCreated, map[string]int{"a": 1}) })
	native.GET("/nothing", func(*echo.Context) error { return nil })
	native.GET("/empty", func(c *echo.Context) error { return c.NoContent(http.StatusNoContent) })
	native.GET("/unchanged", func(c *echo.Context) error { return c.NoContent(http.StatusNotModified) })
	native.GET("/away", func(c *echo.Context) error { return c.Redirect(http.StatusFound, "/elsewhere") })
	native.GET("/error", func(*echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "as the suite wants") })
	native.GET("/late", func(c *echo.Context) error {
		_ = c.String(http.StatusOK, "text")
		c.Response().Header().Set("Late", "1")
		c.SetCookie(&http.Cookie{Name: "late", Value: "1"})
		return c.String(http.StatusTeapot, "and more")
	})
	native.GET("/stream", func(c *echo.Context) error {
		for n := range 3 {
			if _, err := fmt.Fprintf(c.Response(), "data: %d\n\n", n); err != nil {
				return err
			}
			if err := http.NewResponseController(c.Response()).Flush(); err != nil {
				return err
			}
		}
		return nil
	})
	native.GET("/file", func(c *echo.Context) error {
		file, err := os.Open(b.File)
		if err != nil {
			return err
		}
		defer file.Close()
		http.ServeContent(c.Response(), c.Request(), "page.html", time.Unix(1e9, 0), file)
		return nil
	})
	native.GET("/hijack", func(c *echo.Context) error {
		suite.Hijacked(c.Response())
		return nil
	})
	native.POST("/form", func(c *echo.Context) error {
		file, err := c.FormFile("file")
		size := int64(-1)
		if file != nil {
			size = file.Size
		}
		return c.String(http.StatusOK, fmt.Sprint(c.FormValue("name"), size, err))
	})
	native.GET("/panic", func(*echo.Context) error { panic("as the suite wants") })
	return e
}
