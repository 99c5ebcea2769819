package browser

import (
	"context"
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// chromium is driven by chromedp.
type chromium struct {
	ctx     context.Context
	profile bool // its pages are those of the profile, and no visitor has their own
}

func newChromium(t *testing.T, more ...chromedp.ExecAllocatorOption) Engine {
	t.Helper()
	return chromium{ctx: New(t, append(more, chromedp.IgnoreCertErrors)...)} // httptest signs its own
}

// Chromium makes an [Engine] of a browser of [New].
func Chromium(browser context.Context) Engine { return chromium{ctx: browser} }

func (chromium) Name() string { return "chromium" }

func (c chromium) open(t *testing.T, beside driver) driver {
	t.Helper()
	var tab *Tab
	switch beside, ok := beside.(*chromiumPage); {
	case ok:
		tab = newTab(t, beside.tab.Ctx, nil)
	case c.profile:
		tab = newTab(t, c.ctx, nil)
		t.Cleanup(tab.close)
	default:
		tab = NewTab(t, c.ctx)
	}
	tab.Quiet = true // the page tells
	return &chromiumPage{tab}
}

type chromiumPage struct{ tab *Tab }

// run runs an action of chromedp, which wants a context of its own making.
func run[T any](ctx context.Context, p *chromiumPage, action chromedp.Action[T]) (T, error) {
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithDeadline(p.tab.Ctx, deadline)
	defer cancel()
	return chromedp.Run(ctx, action)
}

func (p *chromiumPage) navigate(ctx context.Context, url string) error {
	_, err := run(ctx, p, chromedp.Navigate(url))
	return err
}

func (p *chromiumPage) evaluate(ctx context.Context, expression string) (string, error) {
	return run(ctx, p, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
}

func (p *chromiumPage) click(ctx context.Context, selector string) error {
	_, err := run(ctx, p, chromedp.Click(chromedp.CSS(selector)))
	return err
}

func (p *chromiumPage) keys(ctx context.Context, selector, text string) error {
	_, err := run(ctx, p, chromedp.SendKeys(chromedp.CSS(selector), text))
	return err
}

func (p *chromiumPage) cookies(ctx context.Context) ([]*http.Cookie, error) {
	got, err := run(ctx, p, func(ctx context.Context, t *chromedp.Target) (network.GetCookiesResult, error) {
		return cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{})
	})
	var cookies []*http.Cookie
	for _, c := range got.Cookies {
		cookies = append(cookies, &http.Cookie{Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, Secure: c.Secure, HttpOnly: c.HTTPOnly})
	}
	return cookies, err
}

func (p *chromiumPage) resize(ctx context.Context, width, height int) error {
	_, err := run(ctx, p, chromedp.EmulateViewport(int64(width), int64(height)))
	return err
}

func (p *chromiumPage) screenshot(ctx context.Context) ([]byte, error) {
	return run(ctx, p, chromedp.CaptureScreenshot())
}

func (p *chromiumPage) complaints() []string {
	p.tab.mu.Lock()
	defer p.tab.mu.Unlock()
	return p.tab.complaints
}

func (p *chromiumPage) close() { p.tab.close() }
