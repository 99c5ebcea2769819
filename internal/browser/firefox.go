package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/walkin-go/walkin/internal/testserver"
)

// firefox is driven by WebDriver BiDi: commands and their results, and events, on a
// WebSocket.
type firefox struct {
	conn *websocket.Conn

	mu      sync.Mutex
	last    int
	waiting map[int]chan<- bidiMessage
	pages   map[string]*firefoxPage
	ended   error
}

type bidiMessage struct {
	Type    string          `json:"type"` // success, error, event
	ID      int             `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

type object map[string]any

func newFirefox(t *testing.T, settings ...string) Engine {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), testserver.Firefox(t, settings...), nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1) // pictures are long
	f := &firefox{conn: conn, waiting: map[int]chan<- bidiMessage{}, pages: map[string]*firefoxPage{}}
	done := make(chan struct{})
	go func() { defer close(done); f.read() }()
	t.Cleanup(func() { _ = conn.CloseNow(); <-done }) // Firefox is ended, too
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, c := range []struct {
		method string
		params object
	}{
		{"session.new", object{"capabilities": object{"alwaysMatch": object{"acceptInsecureCerts": true}}}},
		{"session.subscribe", object{"events": []string{"log.entryAdded"}}},
	} {
		if err := f.call(ctx, c.method, c.params, nil); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (*firefox) Name() string { return "firefox" }

// read hands on what Firefox says until it is gone.
func (f *firefox) read() {
	for {
		var m bidiMessage
		// The connection ends with the test, not with a context.
		err := wsjson.Read(context.Background(), f.conn, &m)
		f.mu.Lock()
		if err != nil {
			f.ended = err
			for _, c := range f.waiting {
				close(c)
			}
			f.mu.Unlock()
			return
		}
		if m.Type == "event" {
			f.heard(m)
		} else if c := f.waiting[m.ID]; c != nil {
			c <- m
			delete(f.waiting, m.ID)
		}
		f.mu.Unlock()
	}
}

// heard notes what the console shows, as Chromium's tab does.
func (f *firefox) heard(m bidiMessage) {
	var entry struct {
		Type, Level, Text, Method string
		Source                    struct{ Context string }
	}
	if json.Unmarshal(m.Params, &entry) != nil {
		return
	}
	page := f.pages[entry.Source.Context]
	if page == nil || entry.Type == "javascript" && entry.Level != "error" {
		return
	}
	if strings.Contains(entry.Text, "/favicon.ico") {
		return // which it asks for by itself, whatever the page's policy
	}
	page.said = append(page.said, fmt.Sprintf("%s: %s", entry.Type, entry.Text))
}

func (f *firefox) call(ctx context.Context, method string, params object, result any) error {
	answer := make(chan bidiMessage, 1)
	f.mu.Lock()
	if f.ended != nil {
		f.mu.Unlock()
		return f.ended
	}
	f.last++
	id := f.last
	f.waiting[id] = answer
	f.mu.Unlock()
	// A context that ends would close the connection with it.
	if err := wsjson.Write(context.WithoutCancel(ctx), f.conn, object{"id": id, "method": method, "params": params}); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	case m, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: Firefox is gone", method)
		case m.Type != "success":
			return fmt.Errorf("%s: %s: %s", method, m.Error, m.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(m.Result, result)
	}
}

// A firefoxPage is a window: one that is behind another sleeps. A user context has
// the cookies.
type firefoxPage struct {
	*firefox
	context, user string
	said          []string // under the mutex of firefox
}

func (f *firefox) open(t *testing.T, beside driver) driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := &firefoxPage{firefox: f}
	if beside, ok := beside.(*firefoxPage); ok {
		p.user = beside.user
	} else {
		var user struct{ UserContext string }
		if err := f.call(ctx, "browser.createUserContext", object{}, &user); err != nil {
			t.Fatal(err)
		}
		p.user = user.UserContext
	}
	var window struct{ Context string }
	if err := f.call(ctx, "browsingContext.create", object{"type": "window", "userContext": p.user}, &window); err != nil {
		t.Fatal(err)
	}
	p.context = window.Context
	f.mu.Lock()
	f.pages[p.context] = p
	f.mu.Unlock()
	if err := p.resize(ctx, 1280, 800); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *firefoxPage) navigate(ctx context.Context, url string) error {
	// Firefox's own waiting sometimes misses a page whose site lives in another
	// process.
	if err := evaluate(ctx, p, "(window.left = true)", new(any)); err != nil {
		return err
	}
	if err := p.call(ctx, "browsingContext.navigate", object{"context": p.context, "url": url, "wait": "none"}, nil); err != nil {
		return err
	}
	return until(ctx, func() (ok bool, err error) {
		err = evaluate(ctx, p, "!!("+arrived+")", &ok)
		return ok, err
	})
}

func (p *firefoxPage) evaluate(ctx context.Context, expression string) (string, error) {
	var result struct {
		Type             string
		Result           struct{ Value string }
		ExceptionDetails struct{ Text string }
	}
	if err := p.call(ctx, "script.evaluate", object{"expression": expression, "target": object{"context": p.context}, "awaitPromise": true}, &result); err != nil {
		return "", err
	}
	if result.Type != "success" {
		return "", errors.New(result.ExceptionDetails.Text)
	}
	return result.Result.Value, nil
}

func (p *firefoxPage) click(ctx context.Context, selector string) error {
	element, err := p.locate(ctx, selector)
	if err != nil {
		return err
	}
	return p.call(ctx, "input.performActions", object{"context": p.context, "actions": []object{{
		"type": "pointer", "id": "mouse", "parameters": object{"pointerType": "mouse"},
		"actions": []object{
			{"type": "pointerMove", "x": 0, "y": 0, "origin": object{"type": "element", "element": object{"sharedId": element}}},
			{"type": "pointerDown", "button": 0},
			{"type": "pointerUp", "button": 0},
		},
	}}}, nil)
}

// locate returns what the protocol calls an element, once it is in sight.
func (p *firefoxPage) locate(ctx context.Context, selector string) (id string, err error) {
	if err := evaluate(ctx, p, find(selector)+`.scrollIntoView({block: "center", behavior: "instant"})`, new(any)); err != nil {
		return "", err
	}
	var found struct{ Nodes []struct{ SharedID string } }
	if err := p.call(ctx, "browsingContext.locateNodes", object{"context": p.context, "maxNodeCount": 1,
		"locator": object{"type": "css", "value": selector}}, &found); err != nil {
		return "", err
	}
	if len(found.Nodes) == 0 {
		return "", fmt.Errorf("there is no %s", selector)
	}
	return found.Nodes[0].SharedID, nil
}

func (p *firefoxPage) keys(ctx context.Context, selector, text string) error {
	if err := evaluate(ctx, p, find(selector)+`.focus()`, new(any)); err != nil {
		return err
	}
	var strokes []object
	for _, r := range strings.ReplaceAll(text, "\n", enterKey) {
		strokes = append(strokes, object{"type": "keyDown", "value": string(r)}, object{"type": "keyUp", "value": string(r)})
	}
	return p.call(ctx, "input.performActions", object{"context": p.context, "actions": []object{{"type": "key", "id": "keyboard", "actions": strokes}}}, nil)
}

func (p *firefoxPage) cookies(ctx context.Context) ([]*http.Cookie, error) {
	var at string
	if err := evaluate(ctx, p, "location.href", &at); err != nil {
		return nil, err
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	var got struct {
		Cookies []struct {
			Name, Domain, Path string
			Value              struct{ Value string }
			Secure, HTTPOnly   bool
		}
	}
	if err := p.call(ctx, "storage.getCookies", object{"partition": object{"type": "storageKey", "userContext": p.user}}, &got); err != nil {
		return nil, err
	}
	var cookies []*http.Cookie
	for _, c := range got.Cookies {
		if domain, wide := strings.CutPrefix(c.Domain, "."); u.Hostname() == domain || wide && strings.HasSuffix(u.Hostname(), c.Domain) {
			cookies = append(cookies, &http.Cookie{Name: c.Name, Value: c.Value.Value, Domain: c.Domain, Path: c.Path, Secure: c.Secure, HttpOnly: c.HTTPOnly})
		}
	}
	return cookies, nil
}

func (p *firefoxPage) resize(ctx context.Context, width, height int) error {
	return p.call(ctx, "browsingContext.setViewport", object{"context": p.context, "viewport": object{"width": width, "height": height}}, nil)
}

func (p *firefoxPage) screenshot(ctx context.Context) ([]byte, error) {
	var picture struct{ Data string }
	if err := p.call(ctx, "browsingContext.captureScreenshot", object{"context": p.context}, &picture); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(picture.Data)
}

func (p *firefoxPage) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said
}

func (p *firefoxPage) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's has ended
	defer cancel()
	_ = p.call(ctx, "browsingContext.close", object{"context": p.context}, nil) // or Firefox is gone
}
