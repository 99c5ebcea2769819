// Package bot tells whether a robot sent a request, by what the request says of itself.
// It has lists of names and knows nothing of users.
package bot

import (
	"bytes"
	"net/http"
)

// Is reports whether the request seems to come from something other than a visitor's
// browser. It is the default of Config.NewUsers.IsBot, and an app's own function can
// call it. It believes what the request says of itself: a bot that
// passes for a browser gets what a browser gets. So the lists need not be complete. It
// is enough that crawlers, probes and previews, which are most of a site's bots, create
// no users.
//
// Crawlers are bots with every method. HTTP libraries and clients that do not look like
// a browser are bots only where they read: one that posts is an API client, and gets a
// user where the app calls Middleware.Ensure. A request without a User-Agent is a
// bot.
//
// It looks for names only, and only in the first 512 bytes. That takes about a
// microsecond for a browser, a few for the longest header.
func Is(r *http.Request) bool {
	var buf [512]byte
	ua := newAgent(buf[:copy(buf[:], r.UserAgent())])
	switch {
	case len(ua.text) == 0,
		r.Header.Get("From") != "": // RFC 9110, 10.1.2: robots should send it; browsers never do
		return true
	case ua.hasAny(crawlers):
		var buf [512]byte
		if rest := ua.withoutInnocents(buf[:0]); rest.hasAny(crawlers) {
			return true
		}
	}
	return isSafe(r.Method) && (ua.hasAny(libraries) || !ua.isBrowserShaped())
}

func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// An agent is a User-Agent in lower case. Its pairs are the neighbouring bytes,
// by their low five bits: a name that starts with others needs no search.
type agent struct {
	text  []byte
	pairs [32][32]bool
}

func newAgent(text []byte) agent {
	a := agent{text: text}
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			text[i] += 'a' - 'A'
		}
		if i > 0 {
			a.pairs[text[i-1]%32][c%32] = true
		}
	}
	return a
}

func (a *agent) hasAny(names []string) bool {
	for _, name := range names {
		// The conversion does not allocate: no name has more than 32 bytes.
		if a.pairs[name[0]%32][name[1]%32] && a.pairs[name[1]%32][name[2]%32] && bytes.Contains(a.text, []byte(name)) {
			return true
		}
	}
	return false
}

// isBrowserShaped reports whether a has the form of a browser's. Nearly all
// start with "mozilla/5.0 (" and the platform; older and smaller ones with
// their own name, and say what they run on. Crawlers that wear a browser's name
// add their own in a second "compatible;" or the address of a page about them.
func (a *agent) isBrowserShaped() bool {
	switch text := a.text; {
	case bytes.HasPrefix(text, []byte("mozilla/5.0 applewebkit")):
		return false // without a platform: several of Google's and the AI companies'
	case bytes.Contains(text[min(25, len(text)):], []byte("(compatible;")), bytes.Contains(text, []byte("; compatible;")):
		return a.hasAny([]string{"msie", "opera"}) // toolbars and proxies nested a second one
	case bytes.Contains(text, []byte("://")) && !a.hasAny(addressed):
		return false
	case bytes.HasPrefix(text, []byte("lg")):
		return true // phones, many by nothing but their model
	case bytes.HasPrefix(text, []byte("mozilla/")) && bytes.IndexByte(text, '(') > 0 && !bytes.Contains(text, []byte("(compatible")):
		return true // also those that a privacy filter made unrecognizable
	}
	return a.hasAny(platforms)
}

// withoutInnocents returns a without names of things that only sound like a
// crawler: the model of an Android device, of which there are tens of
// thousands (Logicom M bot 54, Spider 8), and the innocents.
// The text of it is in buf, which has room for a's.
func (a *agent) withoutInnocents(buf []byte) agent {
	text := append(buf, a.text...)
	if device, rest, _ := bytes.Cut(text, []byte{')'}); bytes.Contains(device, []byte("android")) {
		text = rest
	}
	for _, name := range innocents {
		// The conversions do not allocate: no name has more than 32 bytes.
		// The text only gets shorter, so it is its own buffer.
		kept, rest := text[:0], text
		for {
			i := bytes.Index(rest, []byte(name))
			if i < 0 {
				break
			}
			kept = append(append(kept, rest[:i]...), ' ')
			rest = rest[i+len(name):]
		}
		text = append(kept, rest...)
	}
	return newAgent(text)
}

// crawlers are parts of the names under which robots present themselves. This list and
// libraries hold only what would otherwise pass for a browser, or should be a robot
// with every method. The shape finds the rest. Each has at least 3 bytes.
var crawlers = []string{
	"bot", "crawl", "spider", "slurp", "scrape", "scraping", "scrapy", "archiv", "nutch", "larbin", "httrack", "fetcher",
	"inspect", "verification", "linkcheck", "link check", "-agent",
	"subscribers", "firefox mutant", "duplexweb", // feed readers say for how many; Daum's, "MSIE or Firefox mutant"; Google's assistant
	"preview/", "web preview", "link preview", "linkpreview", "page-preview", "facebookexternal", "meta-external",
	"thumbnail", "thumbshot", "webthumb", "imageproxy", "google favicon",
	// Monitors, probes, measurements ("ptst": WebPageTest), scanners.
	"monitor", "uptime", "probe", "synthetic", "healthcheck", "health-check", "healthservice", "googlehc", "pingdom", "statuscake",
	"catchpoint", "gomez", "rigor)", "site24x7", "thousandeyes", "dejaclick", "dareboost", "gtmetrix", "ptst", "page speed",
	"chrome-lighthouse", "siteimprove", "datanyze", "securityheaders", "nikto", "acunetix", "openvas",
}

// innocents are names of people's things that have a crawler's inside.
var innocents = []string{
	"user-agent",                  // some send the header's name in its value
	"cubot", "fossibot", "botech", // phones, which apps name once more at the end; a television
	"botim", "bott", "botswana", "cabot", // apps: BOTIM, Ibotta, Abbott's; the network, in Facebook's; a bank's MSIE
	"smart monitor", "smartmonitor", // televisions by another name
	"inspectbrowser", "developerpreview", "technology%20preview",
}

// libraries are HTTP clients that name a platform like a browser (the JDK's
// with ") java/1"; phones have another "java/"), or an address: "+http"; and
// browsers that a program drives.
var libraries = []string{
	"headless", "playwright", "selenium", "puppeteer", "phantomjs",
	"+http", "curl/", "wget", "libwww-perl", "python", "httpclient", "okhttp", "axios", "winhttp", "powershell", "grpc", ") java/1",
}

// addressed are browsers to which toolbars and owners liked to add addresses.
var addressed = []string{"msie ", "rv:1.", "konqueror", "android", "opera", "avant browser"}

// platforms are what browsers run on or are made of, commonest first. They
// matter only for names that do not start with "mozilla/", or are "compatible".
var platforms = []string{
	"windows", "msie", "android", "linux", "iphone", "ipad", "mac os", "macintosh", "darwin", "webkit", "gecko", "khtml", "opera",
	"x11", "bsd", "sunos", "beos", "risc os", "os/2", "amiga", "morphos", "win32", "winnt", "win9", "mac_p", "ios", "inferno",
	// Phones before phones ran those, and what their browsers were built on.
	"nokia", "symbian", "series60", "blackberry", "sony", "samsung", "lg-", "lg/", "lg ", "lge", "htc", "huawei", "alcatel",
	"lenovo", "motorola", "mot-", "sie-", "philips", "pantech", "amoi", "kwc-", "docomo", "j-phone", "kddi", "vodafone",
	"portalmmm", "midp", "cldc", "wap", "up.link", "up/4", "ucweb", "untrusted", "obigo", "teleca", "polaris", "netfront",
	// Televisions, consoles, readers.
	"hbbtv", "roku", "apple tv", "appletv", "web0s", "webos", "tizen", "playstation", "nintendo", "wii", "xbox", "kindle", "sonos",
	// Browsers, and apps that show pages, which name nothing else.
	"browse", "firefox", "netscape", "mosaic", "konqueror", "lynx", "links", "w3m", "retawq", "emacs", "dillo", "netsurf",
	"amaya", "galeon", "icab", "hotjava", "netpositive", "webexplorer", "worldwideweb", "net explorer", "uzard", "avant",
	"aol/", "[fb", "googleapp", "mozac", "office", "outlook", "quicktime", "goggalaxy",
}
