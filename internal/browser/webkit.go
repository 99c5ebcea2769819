package browser

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/testserver"
)

// enterKey is the Enter key in WebDriver.
const enterKey = "\uE007"

// webkit is driven by the WebDriver of WebKitGTK: requests and their answers.
type webkit struct {
	*testserver.WebKit
	args []string // of the browser
}

func newWebKit(t *testing.T, args ...string) Engine {
	t.Helper()
	return webkit{testserver.NewWebKit(t), args}
}

func (webkit) Name() string { return "webkit" }

// A webkitPage is a window of a session. A driver has one session, and what it is
// told goes to one window.
type webkitPage struct {
	*webkitSession
	window string
	first  bool // whose end is the session's, with all windows that pages opened
}

type webkitSession struct {
	url     string
	current string
}

func (w webkit) open(t *testing.T, beside driver) driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if beside, ok := beside.(*webkitPage); ok {
		var window struct{ Handle string }
		if err := beside.call(ctx, http.MethodPost, "/window/new", object{"type": "window"}, &window); err != nil {
			t.Fatal(err)
		}
		return &webkitPage{webkitSession: beside.webkitSession, window: window.Handle}
	}
	p := &webkitPage{webkitSession: &webkitSession{url: w.Driver(t)}, first: true}
	var session struct{ SessionID string }
	if err := tell(ctx, http.MethodPost, p.url+"/session", object{"capabilities": object{"alwaysMatch": object{
		"acceptInsecureCerts":      true,
		"timeouts":                 object{"script": patience.Milliseconds(), "pageLoad": patience.Milliseconds()},
		"webkitgtk:browserOptions": object{"binary": w.Browser(), "args": append([]string{"--automation"}, w.args...)},
	}}}, &session); err != nil {
		t.Fatal(err)
	}
	p.url += "/session/" + session.SessionID
	if err := tell(ctx, http.MethodGet, p.url+"/window", nil, &p.window); err != nil {
		t.Fatal(err)
	}
	p.current = p.window
	if err := p.resize(ctx, 1280, 800); err != nil {
		t.Fatal(err)
	}
	return p
}

// call tells the window something.
func (p *webkitPage) call(ctx context.Context, method, path string, params object, result any) error {
	if p.current != p.window {
		if err := tell(ctx, http.MethodPost, p.url+"/window", object{"handle": p.window}, nil); err != nil {
			return err
		}
		p.current = p.window
	}
	return tell(ctx, method, p.url+path, params, result)
}

func tell(ctx context.Context, method, url string, params object, result any) error {
	var body io.Reader
	if method == http.MethodPost {
		if params == nil {
			params = object{}
		}
		text, err := json.Marshal(params)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var failure struct{ Error, Message string }
		_ = json.Unmarshal(answer.Value, &failure) // or it is not said
		return fmt.Errorf("%s: %s", failure.Error, failure.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Value, result)
}

func (p *webkitPage) navigate(ctx context.Context, url string) error {
	return p.call(ctx, http.MethodPost, "/url", object{"url": url}, nil)
}

func (p *webkitPage) evaluate(ctx context.Context, expression string) (string, error) {
	var result struct{ Value, Error string }
	err := p.call(ctx, http.MethodPost, "/execute/async", object{"args": []any{}, "script": `
		const done = arguments[arguments.length - 1];
		const failed = (e) => done({Error: String(e)});
		try {
			const v = ` + expression + `;
			v instanceof Promise ? v.then((v) => done({Value: v}), failed) : done({Value: v});
		} catch (e) { failed(e); }`}, &result)
	if err == nil && result.Error != "" {
		err = fmt.Errorf("%s", result.Error)
	}
	return result.Value, err
}

func (p *webkitPage) click(ctx context.Context, selector string) error {
	element, err := p.locate(ctx, selector)
	if err != nil {
		return err
	}
	// The driver scrolls to what is just below the window, and finds it covered there.
	scroll := fmt.Sprintf("String(document.querySelector(%q).scrollIntoView({block: 'center', behavior: 'instant'}))", selector)
	if _, err := p.evaluate(ctx, scroll); err != nil {
		return err
	}
	return p.call(ctx, http.MethodPost, "/element/"+element+"/click", nil, nil)
}

// locate returns what the protocol calls an element.
func (p *webkitPage) locate(ctx context.Context, selector string) (id string, err error) {
	var element map[string]string
	err = p.call(ctx, http.MethodPost, "/element", object{"using": "css selector", "value": selector}, &element)
	return element["element-6066-11e4-a52e-4f735466cecf"], err // by this name of the standard
}

func (p *webkitPage) keys(ctx context.Context, selector, text string) error {
	element, err := p.locate(ctx, selector)
	if err != nil {
		return err
	}
	return p.call(ctx, http.MethodPost, "/element/"+element+"/value", object{"text": strings.ReplaceAll(text, "\n", enterKey)}, nil)
}

func (p *webkitPage) cookies(ctx context.Context) (cookies []*http.Cookie, err error) {
	var got []struct {
		Name, Value, Domain, Path string
		Secure, HTTPOnly          bool
	}
	err = p.call(ctx, http.MethodGet, "/cookie", nil, &got)
	for _, c := range got {
		cookies = append(cookies, &http.Cookie{Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, Secure: c.Secure, HttpOnly: c.HTTPOnly})
	}
	return cookies, err
}

func (p *webkitPage) resize(ctx context.Context, width, height int) error {
	// That is the window with its frame.
	var frame struct{ W, H int }
	if err := evaluate(ctx, p, `{w: outerWidth - innerWidth, h: outerHeight - innerHeight}`, &frame); err != nil {
		return err
	}
	return p.call(ctx, http.MethodPost, "/window/rect", object{"width": width + frame.W, "height": height + frame.H}, nil)
}

func (p *webkitPage) screenshot(ctx context.Context) ([]byte, error) {
	var data string
	if err := p.call(ctx, http.MethodGet, "/screenshot", nil, &data); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(data)
}

func (*webkitPage) complaints() []string { return nil }

func (p *webkitPage) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's has ended
	defer cancel()
	if p.first {
		_ = tell(ctx, http.MethodDelete, p.url, nil, nil) // or it is gone
		return
	}
	_ = p.call(ctx, http.MethodDelete, "/window", nil, nil) // or it is gone
}
