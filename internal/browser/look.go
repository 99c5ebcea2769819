package browser

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/walkin-go/walkin/walkintest"
)

// A View is a way in which visitors see pages.
type View struct {
	Name          string
	Width, Height int // in pixels of style sheets
	Zoom          float64
	Dark          bool
}

// Views are those that pages are looked at in. At 200 % a window that is 1280 wide has
// room for 640.
var Views = []View{
	{"desktop", 1280, 900, 1, false},
	{"dark", 1280, 900, 1, true},
	{"zoom", 640, 450, 2, false},
	{"phone", 360, 740, 1, true},
	{"small", 320, 568, 1, false},
}

// As shows the page in a view. Other engines than Chromium get the size alone.
func (p *Page) As(v View) {
	p.T.Helper()
	tab := p.Chromium()
	if tab == nil {
		p.Resize(v.Width, v.Height)
		return
	}
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	if _, err := chromedp.Call(tab.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	}); err != nil {
		p.T.Fatal(err)
	}
	tab.Do(chromedp.EmulateViewport(int64(v.Width), int64(v.Height), chromedp.EmulateScale(v.Zoom)))
}

// Speak sets the language that Chromium asks for.
func (p *Page) Speak(language string) {
	p.T.Helper()
	if _, err := chromedp.Call(p.Chromium().Ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{
		UserAgent: walkintest.UserAgent, AcceptLanguage: language}); err != nil {
		p.T.Fatal(err)
	}
}

// WithoutScripts switches the scripts of pages off, in Chromium. Those of the test run.
func (p *Page) WithoutScripts() {
	p.T.Helper()
	if _, err := chromedp.Call(p.Chromium().Ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		p.T.Fatal(err)
	}
}

//go:embed audit.js
var audit string

//go:embed axe
var axeFiles embed.FS

// Flaws returns what is wrong with how the page looks now, by rules that a machine can
// judge: no scrolling sideways, targets of 24 pixels, names, contrast.
func (p *Page) Flaws() []string {
	p.T.Helper()
	return Eval[[]string](p, audit)
}

// axe is axe-core, from npm's cache or, where node is required, from the registry. It is
// of another license than ours, and is not kept.
var axe = sync.OnceValues(func() (string, error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "walkin-axe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, axeFiles); err != nil {
		return "", err
	}
	install := func(more ...string) ([]byte, error) {
		cmd := exec.CommandContext(context.Background(), "npm", append([]string{"ci", "--ignore-scripts", "--no-audit", "--no-fund"}, more...)...)
		cmd.Dir = filepath.Join(dir, "axe")
		return cmd.CombinedOutput()
	}
	if _, err := install("--offline"); err != nil {
		if !nodeRequired() {
			return "", fmt.Errorf("axe-core is not in npm's cache")
		}
		if out, err := install("--prefer-offline"); err != nil {
			return "", fmt.Errorf("npm ci: %w\n%s", err, out)
		}
	}
	source, err := os.ReadFile(filepath.Join(dir, "axe", "node_modules", "axe-core", "axe.min.js"))
	return string(source), err
})

func nodeRequired() bool {
	return slices.Contains(strings.Split(os.Getenv("WALKIN_TEST_REQUIRE"), ","), "node")
}

// Axe returns what axe-core finds on the page. Where it cannot be had, and node is not
// required, it returns nothing and says so once in the log.
func (p *Page) Axe() (found []string) {
	p.T.Helper()
	source, err := axe()
	if err != nil && nodeRequired() {
		p.T.Fatal(err)
	}
	if err != nil {
		p.T.Logf("without axe-core: %v", err)
		return nil
	}
	return Eval[[]string](p, `(async () => {
		if (!window.axe) { `+source+` }
		const result = await axe.run(document, { resultTypes: ["violations"] });
		return result.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.html.slice(0, 120) + " " + n.failureSummary.replace(/\s+/g, " ")));
	})()`)
}

// Unreached returns the controls of the page that the tab key does not reach, or whose
// focus cannot be seen. Only Chromium.
func (p *Page) Unreached() []string {
	p.T.Helper()
	count := Eval[int](p, `(() => {
		if (document.activeElement) document.activeElement.blur();
		getSelection().removeAllRanges();
		window.stops = new Set([...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
			.filter((el) => el.tabIndex >= 0 && !el.disabled && el.checkVisibility({ visibilityProperty: true })));
		window.unseen = [];
		const mark = (el) => {
			const style = getComputedStyle(el);
			if (stops.delete(el) && (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2)) unseen.push("no focus to be seen: " + el.outerHTML.slice(0, 90));
		};
		document.addEventListener("focusin", (e) => mark(e.target));
		return stops.size;
	})()`)
	for range 4 {
		p.Chromium().Do(chromedp.KeyEvent(strings.Repeat("\t", count+4)))
		if Eval[int](p, "stops.size") == 0 {
			break
		}
	}
	return Eval[[]string](p, `[...unseen, ...[...stops].map((el) => "no key reaches it: " + el.outerHTML.slice(0, 90))]`)
}

// TabTo presses the tab key until the focus is on an element. Only Chromium.
func (p *Page) TabTo(selector string) {
	p.T.Helper()
	p.Wait(there(selector))
	for range 100 {
		if Eval[bool](p, "document.activeElement === "+find(selector)) {
			return
		}
		p.Chromium().Do(chromedp.KeyEvent("\t"))
	}
	p.T.Fatalf("the tab key does not reach %s on %s", selector, p.address())
}

// Enter presses the key on the element that has the focus, and waits for the page that
// follows. Only Chromium.
func (p *Page) Enter() {
	p.T.Helper()
	p.Leave(func() { p.T.Helper(); p.Chromium().Do(chromedp.KeyEvent("\r")) })
}

// Picture returns a PNG of the whole page in Chromium, and of what the window shows in
// the others.
func (p *Page) Picture() (png []byte) {
	p.T.Helper()
	// A picture of a whole page that is read from right to left is shifted, if there is
	// nothing to scroll.
	if tab := p.Chromium(); tab != nil && Eval[bool](p, "document.documentElement.scrollHeight > innerHeight") {
		return Ask(tab, chromedp.FullScreenshot(100))
	}
	return p.Screenshot()
}
