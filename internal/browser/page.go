package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Engines are the browsers that a test of what browsers do runs in.
var Engines = []string{"chromium", "firefox", "webkit"}

// patience is how long a browser gets for one thing. It is long because the tests of a
// whole repository run beside it.
const patience = time.Minute

// An Engine is a browser that runs.
type Engine interface {
	Name() string
	// open opens a page. One with cookies of its own, when beside is nil.
	open(t *testing.T, beside driver) driver
}

// A driver gets what a page is to do. Scripts are expressions, and their value, or that
// of their promise, comes back as JSON.
type driver interface {
	navigate(ctx context.Context, url string) error
	evaluate(ctx context.Context, expression string) (string, error)
	click(ctx context.Context, selector string) error
	keys(ctx context.Context, selector, text string) error
	cookies(ctx context.Context) ([]*http.Cookie, error)
	resize(ctx context.Context, width, height int) error
	screenshot(ctx context.Context) ([]byte, error)
	complaints() []string
	close()
}

// Start starts an engine, or skips the test when it is not installed. The engine ends
// with the test.
func Start(t *testing.T, name string) Engine {
	t.Helper()
	switch name {
	case "chromium":
		return newChromium(t)
	case "firefox":
		return newFirefox(t)
	case "webkit":
		return newWebKit(t)
	}
	t.Fatalf("there is no engine %q", name)
	return nil
}

// WithoutCookies starts an engine with the setting by which its owner blocks all
// cookies.
func WithoutCookies(t *testing.T, name string) Engine {
	t.Helper()
	switch name {
	case "firefox":
		return newFirefox(t, `user_pref("network.cookie.cookieBehavior", 2);`)
	case "webkit":
		return newWebKit(t, "--cookies-policy=never")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	const blocked = `{"profile": {"default_content_setting_values": {"cookies": 2}}}`
	if err := os.WriteFile(filepath.Join(dir, "Default", "Preferences"), []byte(blocked), 0o600); err != nil {
		t.Fatal(err)
	}
	return chromium{newChromium(t, chromedp.UserDataDir(dir)).(chromium).ctx, true}
}

// Each runs a test in every engine.
func Each(t *testing.T, test func(t *testing.T, engine Engine)) {
	for _, name := range Engines {
		t.Run(name, func(t *testing.T) { test(t, Start(t, name)) })
	}
}

// A Page is a window of a visitor's browser. What its console says about the pages
// fails the test, unless it is Quiet. (WebKit's driver does not tell.)
type Page struct {
	T     *testing.T
	Quiet bool

	engine Engine
	driver driver
}

// NewPage opens a page of a new visitor: cookies and all are its own.
func NewPage(t *testing.T, engine Engine) *Page {
	t.Helper()
	return newPage(t, engine, nil)
}

// Another opens another page of the same visitor.
func (p *Page) Another() *Page {
	p.T.Helper()
	another := newPage(p.T, p.engine, p.driver)
	another.Quiet = p.Quiet
	return another
}

func newPage(t *testing.T, engine Engine, beside driver) *Page {
	t.Helper()
	p := &Page{T: t, engine: engine, driver: engine.open(t, beside)}
	t.Cleanup(func() {
		p.driver.close()
		for _, complaint := range p.driver.complaints() {
			if !p.Quiet {
				t.Errorf("%s complains: %s", engine.Name(), complaint)
			}
		}
	})
	return p
}

// Chromium returns what else Chromium can do, and nil in the other engines.
func (p *Page) Chromium() *Tab {
	d, ok := p.driver.(*chromiumPage)
	if !ok {
		return nil
	}
	return d.tab
}

func (p *Page) do(what string, f func(ctx context.Context) error) {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(p.T.Context(), patience)
	defer cancel()
	if err := f(ctx); err != nil {
		p.T.Fatalf("%s: %s: %v; %s says %q", p.engine.Name(), what, err, p.address(), p.Says())
	}
}

// Open opens an address and waits until its page is there.
func (p *Page) Open(url string) {
	p.T.Helper()
	p.do("opening "+url, func(ctx context.Context) error { return p.driver.navigate(ctx, url) })
}

// Eval returns the value of an expression, or what it promises.
func Eval[T any](p *Page, expression string) T {
	p.T.Helper()
	var v T
	p.do(expression, func(ctx context.Context) error { return evaluate(ctx, p.driver, expression, &v) })
	return v
}

func evaluate(ctx context.Context, d driver, expression string, v any) error {
	// A promise only where there is one: without scripts, none is kept.
	text, err := d.evaluate(ctx, fmt.Sprintf(`(() => {
		const text = (v) => JSON.stringify(v === undefined ? null : v);
		const v = (%s);
		return v instanceof Promise ? v.then(text) : text(v);
	})()`, expression))
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), v)
}

// Run runs a script that says nothing.
func (p *Page) Run(script string) {
	p.T.Helper()
	Eval[any](p, "(async () => {"+script+"})()")
}

// Wait waits until an expression is true.
func (p *Page) Wait(expression string) {
	p.T.Helper()
	p.do("waiting for "+expression, func(ctx context.Context) error {
		return until(ctx, func() (ok bool, err error) {
			// A page that is on its way cannot be asked, and WebKit's driver may then
			// never answer.
			ctx, cancel := context.WithTimeout(ctx, patience/6)
			defer cancel()
			err = evaluate(ctx, p.driver, "!!("+expression+")", &ok)
			return ok, err
		})
	})
}

// until looks until it is ok. The last error is why it was not.
func until(ctx context.Context, look func() (ok bool, err error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := look()
		if ok && err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return err
		}
	}
}

// Leave runs an action that leads to another page, or to the same one once more, and
// waits for that page.
func (p *Page) Leave(action func()) {
	p.T.Helper()
	// A page that comes back from the browser's memory is the old one.
	Eval[any](p, `(window.left = true, addEventListener("pageshow", (e) => { if (e.persisted) window.left = false; }), null)`)
	action()
	p.Wait(arrived)
}

// arrived is true of a page that came after window.left was set, and is whole. Between two
// pages Firefox may have an empty one.
const arrived = `!window.left && document.readyState === "complete" && document.body && location.href !== "about:blank"`

// Click clicks and waits for the page that follows.
func (p *Page) Click(selector string) {
	p.T.Helper()
	p.Leave(func() { p.T.Helper(); p.Press(selector) })
}

// Press clicks, and that is all.
func (p *Page) Press(selector string) {
	p.T.Helper()
	p.Wait(there(selector))
	p.do("clicking "+selector, func(ctx context.Context) error { return p.driver.click(ctx, selector) })
}

// Type types text into a field.
func (p *Page) Type(selector, text string) {
	p.T.Helper()
	p.Wait(there(selector))
	p.do("typing into "+selector, func(ctx context.Context) error { return p.driver.keys(ctx, selector, text) })
}

// Back goes back to the page before, as by the browser's button.
func (p *Page) Back() {
	p.T.Helper()
	p.Leave(func() { p.T.Helper(); p.Run(`setTimeout(() => history.back())`) })
}

// Text returns the text of an element.
func (p *Page) Text(selector string) string {
	p.T.Helper()
	p.Wait(there(selector))
	return Eval[string](p, find(selector)+".textContent")
}

// URL returns the address of the page.
func (p *Page) URL() string { p.T.Helper(); return Eval[string](p, "location.href") }

// Says returns what can be read on the page, in one line.
func (p *Page) Says() string {
	var text string
	p.tried(`document.body.innerText`, &text)
	return strings.Join(strings.Fields(text), " ")
}

func (p *Page) address() (url string) { p.tried("location.href", &url); return url }

func (p *Page) tried(expression string, v any) {
	ctx, cancel := context.WithTimeout(p.T.Context(), 10*time.Second)
	defer cancel()
	_ = evaluate(ctx, p.driver, expression, v) // it is for messages
}

// Cookies returns those that the browser has for the page, HttpOnly ones included.
func (p *Page) Cookies() (cookies []*http.Cookie) {
	p.T.Helper()
	p.do("reading cookies", func(ctx context.Context) (err error) {
		cookies, err = p.driver.cookies(ctx)
		return err
	})
	return cookies
}

// Resize makes the page as large. WebKit's is 447 pixels wide at least, as its tool
// bar is.
func (p *Page) Resize(width, height int) {
	p.T.Helper()
	p.do("resizing", func(ctx context.Context) error { return p.driver.resize(ctx, width, height) })
}

// Screenshot returns a PNG of what the window shows.
func (p *Page) Screenshot() (png []byte) {
	p.T.Helper()
	p.do("taking a picture", func(ctx context.Context) (err error) {
		png, err = p.driver.screenshot(ctx)
		return err
	})
	return png
}

// quote returns a JavaScript string.
func quote(text string) string {
	b, _ := json.Marshal(text) // of a string it is one
	return string(b)
}

func find(selector string) string { return "document.querySelector(" + quote(selector) + ")" }

func there(selector string) string { return find(selector) + " !== null" }
