package ginwalkin_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
	"github.com/walkin-go/walkin/adapters/internal/suite"
	"github.com/walkin-go/walkin/walkintest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	m.Run()
}

func TestSuite(t *testing.T) {
	suite.Run(t, suite.Stack{New: app, OnRefuse: ginwalkin.OnRefuse, Logs: true, Sockets: true})
}

func app(a *suite.App) http.Handler {
	wk := a.Walkin
	who := func(c *gin.Context) {
		a.Ran()
		c.String(http.StatusOK, suite.Who(ginwalkin.Claims(c)))
	}
	log := func(where string) gin.HandlerFunc {
		return func(c *gin.Context) {
			c.Next()
			a.Log(where, c.Writer.Status(), c.Writer.Size())
		}
	}
	r := gin.New()
	r.Use(log("outside"), gin.RecoveryWithWriter(io.Discard), errorPages,
		ginwalkin.Handler(wk), log("inside"))
	both := func(path string, handlers ...gin.HandlerFunc) {
		r.GET(path, handlers...)
		r.POST(path, handlers...)
	}

	both("/", who)
	r.GET("/std", gin.WrapH(suite.Handler(a)))
	both("/user", ginwalkin.RequireUser(wk), who)
	both("/permanent", ginwalkin.RequirePermanent(wk), who)
	r.GET("/rule", ginwalkin.Require(wk, a.Rule), who)
	r.Group("/group", ginwalkin.RequirePermanent(wk)).GET("/page", who)
	both("/ensure", func(c *gin.Context) {
		claims, err := ginwalkin.Ensure(wk, c)
		if err != nil {
			ginwalkin.Refuse(wk, c, err)
			return
		}
		a.Ran()
		c.String(http.StatusOK, suite.Who(claims, true))
	})
	both("/continue", func(c *gin.Context) {
		outcome, err := ginwalkin.Continue(wk, c, a.Proof(c.Request))
		if err != nil {
			ginwalkin.Refuse(wk, c, err)
			return
		}
		c.String(http.StatusOK, string(outcome))
	})
	r.GET("/refuse", func(c *gin.Context) { ginwalkin.Refuse(wk, c, suite.Gone) })
	both("/sign-up", ginwalkin.WrapH(wk.UpgradeHandler(a.Credential(), a.Page)))
	both("/sign-out", ginwalkin.WrapH(wk.SignOutHandler()))
	r.GET("/count", ginwalkin.Wrap(wk.LoadAndSave(a.Sessions)), func(c *gin.Context) {
		c.String(http.StatusOK, a.Count(c.Request.Context()))
	})
	r.GET("/count-flush", ginwalkin.Wrap(wk.LoadAndSave(a.Sessions)), func(c *gin.Context) {
		text := a.Count(c.Request.Context())
		c.Writer.Flush()
		_, _ = c.Writer.WriteString(text)
	})

	public := func(c *gin.Context) { suite.Public(c.Writer.Header()) }
	noted := func(c *gin.Context) { c.Status(http.StatusAccepted) } // gin sends nothing yet
	r.GET("/public", noted, public, func(c *gin.Context) { c.String(http.StatusOK, "for everyone") })
	r.GET("/nothing", public)
	r.GET("/empty", public, func(c *gin.Context) { c.Status(http.StatusNoContent) })
	r.GET("/unchanged", public, func(c *gin.Context) { c.Status(http.StatusNotModified) })
	r.GET("/error", func(c *gin.Context) { _ = c.Error(errors.New("as the suite wants")) })
	both("/panic", func(*gin.Context) { a.Ran(); panic("as the suite wants") })

	r.GET("/events", func(c *gin.Context) {
		c.Header("Content-Type", "text/event-stream")
		c.Writer.Flush()
		c.Stream(func(io.Writer) bool {
			event, ok := <-a.Events
			if ok {
				c.SSEvent("message", event)
			}
			return ok
		})
	})
	r.GET("/controller", func(c *gin.Context) { _, _ = c.Writer.WriteString(suite.Control(c.Writer)) })
	r.GET("/gorilla", gin.WrapF(suite.Socket(gorilla)))
	r.GET("/coder", gin.WrapF(suite.Socket(coder)))
	return r
}

// TestWriter holds that c.Writer is gin's own where walkin has nothing to set,
// and again when walkin is done.
func TestWriter(t *testing.T) {
	a := suite.NewApp(t)
	var outside, inside, after gin.ResponseWriter
	r := gin.New()
	r.Use(func(c *gin.Context) {
		outside = c.Writer
		c.Next()
		after = c.Writer
	}, ginwalkin.Handler(a.Walkin))
	r.GET("/", func(c *gin.Context) {
		inside = c.Writer
		c.String(http.StatusOK, "text")
	})
	client := walkintest.NewClient(t, r)
	for _, moment := range []string{"first visit", "return"} {
		client.Visit("/")
		if got, want := inside == outside, moment == "return"; got != want {
			t.Errorf("%s: got gin's own writer %t, want %t", moment, got, want)
		}
		if after != outside {
			t.Errorf("%s: got another writer after walkin than before", moment)
		}
	}
}

// TestWrapHAborts holds that what follows one of walkin's handlers does not run when
// that has refused, no matter what answers.
func TestWrapHAborts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		path   string
		header []string
		status int
		ran    bool
	}{
		{"a form without a name", http.MethodPost, "/sign-up", nil, http.StatusUnprocessableEntity, false},
		{"from another site", http.MethodPost, "/sign-up", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, false},
		{"another method", http.MethodPut, "/sign-up", nil, http.StatusMethodNotAllowed, false},
		{"what is not refused", http.MethodPost, "/sign-up?name=ann", nil, http.StatusSeeOther, true},
	} {
		for name, onRefuse := range map[string]func(http.ResponseWriter, *http.Request, *walkin.Refusal){
			"walkin answers": nil, "the app answers": ginwalkin.OnRefuse,
		} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				a := suite.NewApp(t, func(c *walkin.Config) { c.OnRefuse = onRefuse })
				r := gin.New()
				ran := false
				r.Any("/sign-up", ginwalkin.Handler(a.Walkin), func(c *gin.Context) {
					c.Request.PostForm = c.Request.URL.Query()
				}, ginwalkin.WrapH(a.Walkin.UpgradeHandler(a.Credential(), a.Page)), func(*gin.Context) { ran = true })
				client := walkintest.NewClient(t, r)
				request := client.NewRequest(tt.method, tt.path, nil)
				for i := 0; i < len(tt.header); i += 2 {
					request.Header.Set(tt.header[i], tt.header[i+1])
				}
				if got := client.Do(request); got.StatusCode != tt.status || ran != tt.ran {
					t.Errorf("got %d, and the next handler ran %t, want %d and %t", got.StatusCode, ran, tt.status, tt.ran)
				}
			})
		}
	}
}

// TestHandleContext holds that a visitor gets their cookie, once, where gin's
// HandleContext has dropped all writers on the way, and keeps what they made.
func TestHandleContext(t *testing.T) {
	a := suite.NewApp(t)
	r := gin.New()
	r.Use(ginwalkin.Handler(a.Walkin))
	r.Any("/old", func(c *gin.Context) {
		c.Request.URL.Path = "/new"
		r.HandleContext(c)
	})
	r.Any("/older", func(c *gin.Context) {
		c.Request.URL.Path = "/old"
		r.HandleContext(c)
	})
	r.Any("/data", ginwalkin.Wrap(a.Walkin.LoadAndSave(a.Sessions)), func(c *gin.Context) {
		a.Count(c.Request.Context())
		c.Request.URL.Path = "/new"
		r.HandleContext(c)
	})
	r.Any("/new", func(c *gin.Context) { c.String(http.StatusOK, suite.Who(ginwalkin.Claims(c))) })
	for _, path := range []string{"/new", "/old", "/older", "/data"} {
		for name, first := range map[string]func(*walkintest.Client) *http.Response{
			"visit": func(c *walkintest.Client) *http.Response { return c.Visit(path) },
			"act":   func(c *walkintest.Client) *http.Response { return c.Post(path, nil) },
		} {
			client := walkintest.NewClient(t, r)
			response := first(client)
			if got := response.Header.Values("Set-Cookie"); len(got) != 1 || response.Header.Get("Cache-Control") != "private, no-store" {
				t.Errorf("%s, %s: got cookies %q and %q, want one, for no cache", path, name, got, response.Header.Get("Cache-Control"))
			}
			was, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			is, err := io.ReadAll(client.Fetch("/new").Body)
			_, id, _ := strings.Cut(string(was), " ")
			if err != nil || id == "" || !strings.HasSuffix(string(is), id) {
				t.Errorf("%s, %s: got %q and then %q, %v, want the same user", path, name, was, is, err)
			}
		}
	}
}

// TestHandleContextAfterPanic holds that no visitor gets the cookie of a user whose
// creation was rolled back.
func TestHandleContextAfterPanic(t *testing.T) {
	a := suite.NewApp(t)
	r := gin.New()
	r.Use(func(c *gin.Context) {
		defer func() {
			if recover() != nil {
				c.Request.URL.Path = "/sorry"
				r.HandleContext(c)
			}
		}()
		c.Next()
	}, ginwalkin.Handler(a.Walkin))
	r.Any("/panic", func(*gin.Context) { panic("as the test wants") })
	r.Any("/sorry", func(c *gin.Context) { c.String(http.StatusInternalServerError, "sorry") })
	response := walkintest.NewClient(t, r).Post("/panic", nil)
	if got := response.Header.Values("Set-Cookie"); len(got) > 0 || response.StatusCode != http.StatusInternalServerError {
		t.Errorf("got %d with cookies %q, want 500 and none", response.StatusCode, got)
	}
}

// TestHijack holds that session data is saved when a handler takes the connection, and
// not when it is done with it. A socket may live for hours, and a late save would undo
// what other requests have saved since.
func TestHijack(t *testing.T) {
	a := suite.NewApp(t)
	r := gin.New()
	r.Use(ginwalkin.Handler(a.Walkin), ginwalkin.Wrap(a.Walkin.LoadAndSave(a.Sessions)))
	r.GET("/", func(*gin.Context) {})
	r.GET("/count", func(c *gin.Context) { c.String(http.StatusOK, a.Count(c.Request.Context())) })
	client := walkintest.NewClient(t, r)
	r.GET("/socket", func(c *gin.Context) {
		a.Count(c.Request.Context())
		conn, _, err := c.Writer.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for _, want := range []string{"count 2", "count 3"} {
			if got, err := io.ReadAll(client.Fetch("/count").Body); string(got) != want || err != nil {
				t.Errorf("while the socket is open: got %q, %v, want %q", got, err, want)
			}
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})
	client.Visit("/")
	client.Post("/", nil)
	server := httptest.NewServer(r)
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("User-Agent", walkintest.UserAgent)
	for _, c := range client.Cookies() {
		request.Header.Set("Cookie", c.Name+"="+c.Value)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got, err := io.ReadAll(client.Fetch("/count").Body); string(got) != "count 4" || err != nil {
		t.Errorf("afterwards: got %q, %v, want %q", got, err, "count 4")
	}
}

// TestOnRefuseAlone holds what OnRefuse says of an app without error pages: the
// status alone, and the refusal in c.Errors.
func TestOnRefuseAlone(t *testing.T) {
	a := suite.NewApp(t, func(c *walkin.Config) { c.OnRefuse = ginwalkin.OnRefuse })
	var left []*gin.Error
	r := gin.New()
	r.Use(func(c *gin.Context) { c.Next(); left = c.Errors }, ginwalkin.Handler(a.Walkin))
	r.GET("/", ginwalkin.RequirePermanent(a.Walkin), func(*gin.Context) { a.Ran() })
	response := walkintest.NewClient(t, r).Visit("/")
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusForbidden || len(body) > 0 {
		t.Errorf("got %d %q, want 403 alone", response.StatusCode, body)
	}
	if len(left) != 1 {
		t.Fatalf("got errors %v, want one", left)
	}
	if refusal, ok := errors.AsType[*walkin.Refusal](left[0]); !ok || refusal.Reason != "anonymous" || refusal.Page != "/sign-up" {
		t.Errorf("got error %v, want the refusal of an anonymous user", left[0])
	}
}

// errorPages renders what the handlers left in c.Errors, as apps do.
func errorPages(c *gin.Context) {
	c.Next()
	last := c.Errors.Last()
	if last == nil {
		return
	}
	if refusal, ok := errors.AsType[*walkin.Refusal](last.Err); ok {
		c.String(refusal.Status, suite.OwnPage(refusal))
		return
	}
	suite.Public(c.Writer.Header())
	c.String(http.StatusTeapot, suite.ErrorPage)
}

// TestNotFoundCompressed holds that gin's own 404 goes through a writer that
// compresses, as it does without walkin: that has set Content-Encoding by then.
func TestNotFoundCompressed(t *testing.T) {
	a := suite.NewApp(t)
	get := func(handlers ...gin.HandlerFunc) *httptest.ResponseRecorder {
		e := gin.New()
		e.Use(handlers...)
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/no/such/page", nil)
		r.Header.Set("User-Agent", walkintest.UserAgent)
		r.Header.Set("Sec-Fetch-Site", "none")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		e.ServeHTTP(w, r)
		return w
	}
	compress := func(c *gin.Context) {
		c.Header("Content-Encoding", "gzip")
		c.Writer = marking{c.Writer}
		c.Next()
	}
	want, got := get(compress), get(ginwalkin.Handler(a.Walkin), compress)
	if got.Code != want.Code || got.Body.String() != want.Body.String() || !strings.HasPrefix(got.Body.String(), "compressed ") {
		t.Errorf("got %d %q, want %d %q as without walkin", got.Code, got.Body, want.Code, want.Body)
	}
	if len(got.Result().Cookies()) != 1 || got.Header().Get("Cache-Control") != "private, no-store" {
		t.Errorf("got header %v, want a cookie for no cache", got.Header())
	}
}

// marking stands for a writer that compresses.
type marking struct{ gin.ResponseWriter }

func (m marking) Write(b []byte) (int, error) {
	_, err := m.ResponseWriter.Write(append([]byte("compressed "), b...))
	return len(b), err
}

// TestSameWithoutUs holds that gin, its writer and its error handling behave with walkin
// as without.
func TestSameWithoutUs(t *testing.T) { suite.Same(t, plainApp) }

func plainApp(b *suite.Bare) http.Handler {
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.Use(func(c *gin.Context) {
		c.Next()
		b.Saw(c.Writer.Status(), c.Writer.Size(), c.Writer.Written(), c.FullPath(), c.Request.Form, c.Request.MultipartForm != nil,
			c.Errors.String(), c.IsAborted())
	}, gin.RecoveryWithWriter(io.Discard), func(c *gin.Context) {
		if c.Next(); len(c.Errors) > 0 && !c.Writer.Written() {
			c.JSON(http.StatusTeapot, c.Errors.Last())
		}
	})
	if b.Walkin != nil {
		r.Use(ginwalkin.Handler(b.Walkin))
	}
	if b.Sessions != nil {
		r.Use(ginwalkin.Wrap(b.Walkin.LoadAndSave(b.Sessions)))
	}
	for path, h := range b.Routes {
		r.Any(path, gin.WrapF(h))
		r.Handle("PROPFIND", path, gin.WrapF(h))
	}
	r.GET("/page/:id", func(c *gin.Context) {
		suite.Tell(c.Writer, c.Request)
		c.String(http.StatusOK, c.Param("id")+c.FullPath()+c.HandlerName())
	})
	native := r.Group("/native")
	native.GET("/text", func(c *gin.Context) { c.String(http.StatusAccepted, "a %s", "text") })
	native.GET("/json", func(c *gin.Context) { c.JSON(http.StatusCreated, gin.H{"a": 1}) })
	native.GET("/nothing", func(*gin.Context) {})
	native.GET("/empty", func(c *gin.Context) { c.Status(http.StatusNoContent) })
	native.GET("/unchanged", func(c *gin.Context) { c.AbortWithStatus(http.StatusNotModified) })
	native.GET("/away", func(c *gin.Context) { c.Redirect(http.StatusFound, "/elsewhere") })
	native.GET("/error", func(c *gin.Context) { _ = c.AbortWithError(http.StatusTeapot, errors.New("as the suite wants")) })
	native.GET("/late", func(c *gin.Context) {
		c.String(http.StatusOK, "text")
		c.Status(http.StatusTeapot)
		c.Header("Late", "1")
		c.String(http.StatusTeapot, "and more")
		c.SetCookie("late", "1", 0, "/", "", false, false)
	})
	native.GET("/stream", func(c *gin.Context) {
		n := 0
		c.Stream(func(w io.Writer) bool {
			n++
			c.SSEvent("message", n)
			return n < 3
		})
	})
	native.GET("/file", func(c *gin.Context) { c.FileAttachment(b.File, "page.html") })
	native.GET("/hijack", func(c *gin.Context) { suite.Hijacked(c.Writer) })
	native.POST("/form", func(c *gin.Context) {
		file, err := c.FormFile("file")
		size := int64(-1)
		if file != nil {
			size = file.Size
		}
		c.String(http.StatusOK, "%s %d %v", c.PostForm("name"), size, err)
	})
	native.GET("/panic", func(*gin.Context) { panic("as the suite wants") })
	return r
}
