// Package browser drives a real browser in tests. It is a module of its own, so that
// apps do not get the code that drives one.
package browser

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/walkintest"
)

// New starts a browser, or skips the test when there is none. The browser ends with the
// test, and after fifteen minutes in any case.
func New(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testserver.Chromium(t)),
		chromedp.DisableGPU,
		chromedp.UserAgent(walkintest.UserAgent), // by its own, a headless browser is a robot, and gets no user for looking
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it cannot be had as root, and only our own pages are shown
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(options, more...)...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until it is gone, and its profile with it
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// A Tab is the browser of one visitor: its cookies and all else are its own. A message
// in its console about the pages fails the test, unless the Tab is Quiet.
type Tab struct {
	T     *testing.T
	Ctx   context.Context
	Quiet bool

	close      context.CancelFunc
	mu         sync.Mutex
	complaints []string
}

// NewTab opens a tab in a browser of [New]. Listeners get every event, too.
func NewTab(t *testing.T, browser context.Context, listeners ...func(any)) *Tab {
	t.Helper()
	b := newTab(t, browser, listeners, chromedp.WithNewBrowserContext())
	t.Cleanup(func() {
		b.close()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.complaints {
			if !b.Quiet {
				t.Errorf("the browser complains: %s", c)
			}
		}
	})
	return b
}

func newTab(t *testing.T, browser context.Context, listeners []func(any), options ...chromedp.ContextOption) *Tab {
	t.Helper()
	b := &Tab{T: t}
	b.Ctx, b.close = chromedp.NewContext(browser, append(options, chromedp.WithListener(func(ev any) {
		b.listen(ev)
		for _, listener := range listeners {
			listener(ev)
		}
	}))...)
	b.Do(chromedp.Steps())
	return b
}

// listen notes what the console shows: errors of scripts, refusals by the content
// security policy, bad markup, missing files. A refusal by the site is not noted, nor that
// a test had the focus in a field before the page could give it to the same.
func (b *Tab) listen(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		if strings.HasPrefix(ev.Entry.Text, "Autofocus processing was blocked because a document already has a focused element") {
			return
		}
		if e := ev.Entry; e.Source != log.EntrySourceNetwork || !strings.Contains(e.Text, "status of 4") {
			b.complaints = append(b.complaints, fmt.Sprintf("%s: %s %s", e.Source, e.Text, e.URL))
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, ev.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console.%s", ev.Type))
	}
}

// Do runs steps.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.T.Helper()
	if err := chromedp.Do(b.Ctx, steps...); err != nil {
		b.T.Fatalf("%v; the page says %q", err, b.Says())
	}
}

// Click clicks and waits for the page that follows.
func (b *Tab) Click(selector string) {
	b.T.Helper()
	if _, err := chromedp.RunResponse(b.Ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.T.Fatalf("clicking %s: %v; the page says %q", selector, err, b.Says())
	}
}

// Says returns what can be read on the page, in one line.
func (b *Tab) Says() string {
	text, _ := chromedp.Run(b.Ctx, chromedp.Evaluate[string](`document.body.innerText`))
	return strings.Join(strings.Fields(text), " ")
}

// Ask returns what an action finds out.
func Ask[T any](b *Tab, action chromedp.Action[T]) T {
	b.T.Helper()
	v, err := chromedp.Run(b.Ctx, action)
	if err != nil {
		b.T.Fatal(err)
	}
	return v
}
