package bot_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/bot"
)

func requestBy(method, agent string) *http.Request {
	r := httptest.NewRequest(method, "/", nil)
	r.Header.Set("User-Agent", agent)
	return r
}

// TestIsBot holds who is a robot, by the User-Agent alone: crawlers always, API clients
// where they read, people's browsers never.
func TestIsBot(t *testing.T) {
	crawlers := []string{
		"",
		"Googlebot/2.1 (+http://www.google.com/bot.html)",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/141.0.7390.54 Safari/537.36",
		"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.7390.54 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"Mozilla/5.0 (Linux; Android 8.0; Pixel 2 Build/OPD3.170816.012; Storebot-Google/1.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/81.0.4044.138 Mobile Safari/537.36, Storebot",
		"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
		"Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b",
		"DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
		"Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
		"Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
		"Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)",
		"Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
		"Mozilla/5.0 (compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
		"CCBot/2.0 (https://commoncrawl.org/faq/)",
		"ia_archiver (+http://www.alexa.com/site/help/webmasters; crawler@alexa.com)",
		"Mozilla/5.0 (compatible; archive.org_bot +http://archive.org/details/archive.org_bot)",
		"Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)",
		"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
		"Mozilla/5.0 (compatible; MSIE or Firefox mutant; not on Windows server;) Daumoa/4.0",
		"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
		"meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
		"Twitterbot/1.0",
		"LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
		"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
		"TelegramBot (like TwitterBot)",
		"Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
		"Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
		"Feedfetcher-Google; (+http://www.google.com/feedfetcher.html; 1 subscribers)",
		"kube-probe/1.34",
		"ELB-HealthChecker/2.0",
		"GoogleHC/1.0",
		"Amazon-Route53-Health-Check-Service (ref 0c5a4a35; report http://amzn.to/1vsZADi)",
		"Mozilla/5.0 (compatible;Cloudflare-Healthchecks/1.0;+https://www.cloudflare.com/; healthcheck-id: f867e0e43eca7aa4)",
		"Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
		"Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
		"Mozilla/5.0 (Windows NT 6.2; WOW64) AppleWebKit/537.4 (KHTML, like Gecko) Chrome/98 Safari/537.4 (StatusCake)",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.7204.168 Safari/537.36 DatadogSynthetics",
		"Mozilla/5.0 (Linux; Android 11; moto g power (2022)) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Mobile Safari/537.36 Chrome-Lighthouse",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/96.0.4664.45 Safari/537.36 PTST/211202.211915",
		"Scrapy/2.11.2 (+https://scrapy.org)",
		"Mozilla/4.5 (compatible; HTTrack 3.0x; Windows 98)",
		"Mozilla/5.00 (Nikto/2.1.5) (Evasions:None) (Test:Port Check)",
		"W3C-checklink/5.0.0 libwww-perl/6.67 linkcheck",
	}
	programs := []string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/141.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
		"curl/8.14.1",
		"curl/7.10.2 (powerpc-apple-darwin7.0) libcurl/7.10.2 OpenSSL/0.9.7b zlib/1.1.4",
		"Wget/1.25.0 (linux-gnu)",
		"Go-http-client/2.0",
		"python-requests/2.32.3",
		"python-requests/1.2.3 CPython/2.7.3 Linux/3.5.0-23-generic",
		"Python-urllib/3.13",
		"Java/21.0.4",
		"Mozilla/4.0 (Windows XP 5.1) Java/1.6.0_26",
		"okhttp/4.12.0",
		"Apache-HttpClient/4.5.14 (Java/17.0.12)",
		"axios/1.7.7",
		"node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
		"libwww-perl/6.77",
		"Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.26100.2161",
		"PostmanRuntime/7.43.0",
		"GuzzleHttp/7",
		"Mozilla/3.0 (compatible; Indy Library)",
		"WhatsApp/2.23.20.0 A",
		"WordPress/6.6.2; https://blog.example",
		"Hexometer",
		"Mozilla/5.0",
		"Mozilla/5.0 (compatible)",
		"-",
		"\xff\xfe",
	}
	browsers := []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
		"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
		"Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/141.0.7390.41 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15 DuckDuckGo/7",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Mobile/15E148 Safari/604.1 (Ecosia ios@9.2.3.1367)",
		"Mozilla/5.0 (000000000; 0; 000 000 00 0; 00000) 0000000000000000000 0000000 0000 000000",
		// In-app browsers.
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22A3354 [FBAN/FBIOS;FBAV/480.0.0.0;FBDV/iPhone16,2;FBCR/OrangeBotswana]",
		"Mozilla/5.0 (Linux; Android 9; SM-G950U Build/PPR1.180610.011; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/80.0.3987.149 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/263.0.0.46.121;]",
		"Mozilla/5.0 (Linux; Android 10; CUBOT X30 Build/QP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/120.0.0.0 Mobile Safari/537.36 Instagram 309.1.0 Android (29/10; 480dpi; 1080x2310; CUBOT; CUBOT X30; mt6771; de_DE)",
		"Mozilla/5.0 (Linux; Android 7.1.1; KFDOWI Build/LVY48F; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/70.0.3538.110 Safari/537.36 [Pinterest/Android]",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 12_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [LinkedInApp]",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/605.1 NAVER(inapp; search; 2000; 12.3.6; 14PRO)",
		"Mozilla/5.0 (Linux; Android 11; SM-A505N; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/118.0.0.0 Mobile Safari/537.36 DaumApps/7.9.1 DaumDevice/mobile",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 13_3_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 SP-engine/2.16.0 main/1.0 baiduboxapp/11.20.0.17 (Baidu; P2 13.3.1) NABar/1.0",
		"Mozilla/5.0 (Linux; arm_64; Android 11; Redmi Note 9S) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/104.0.5112.124 YaApp_Android/22.95.1 YaSearchBrowser/22.95.1 BroPP/1.0 SA/3 Mobile Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 13_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/102.0.304944559 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 10_3_3 like Mac OS X) AppleWebKit/603.3.8 (KHTML, like Gecko) Mobile/14G60 MicroMessenger/6.3.22 NetType/WIFI Language/zh_CN",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Slack/4.4.2 Chrome/78.0.3904.130 Electron/7.2.1 Safari/537.36 Sonic Slack_SSB/4.4.2",
		"Hulu/6.8.1 (iOS 13.3; en_US; iPhone12,1; 17C54)",
		// Devices with a crawler's name.
		"Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.4844.88 Mobile Safari/537.36",
		"Mozilla/5.0 (Linux; Android 13; FOSSiBOT F101) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (Linux; Android 7.0; M bot 54 Build/NRD90M) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/67.0.3396.87 Mobile Safari/537.36",
		"Mozilla/5.0 (Linux; Android 8.1.0; Spider 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.91 Safari/537.36",
		// Old and odd ones, toolbars, addresses.
		"Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; GTB7.4; User-agent: Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1; http://bsalsa.com) ; .NET CLR 2.0.50727)",
		"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 5.1; Trident/4.0; SE 2.X MetaSr 1.0; SE 2.X MetaSr 1.0; .NET CLR 2.0.50727)",
		"Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; WOW64; Trident/5.0; Banca Caboto s.p.a.)",
		"Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Touch; rv:11.0) like Gecko",
		"Mozilla/4.76 [en] (X11; U; FreeBSD 4.4-STABLE i386)",
		"Mozilla/5.0 (compatible; Konqueror/4.4; Linux) KHTML/4.4.5 (like Gecko) Kubuntu",
		"Mozilla/3.0 (compatible; NetPositive/2.2.1; BeOS)",
		"Avant Browser/1.2.789rel1 (http://www.avantbrowser.com)",
		"Mozilla/5.0 (Windows; U; Windows NT 6.1; en-US; rv:1.9.3a1pre) Gecko/20100126 MozillaDeveloperPreview/3.7a1",
		"Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18",
		"Opera/9.80 (J2ME/MIDP; Opera Mini/9 (Compatible; MSIE:9.0; iPhone; BlackBerry9700; AppleWebKit/24.746; U; en) Presto/2.5.25 Version/10.54",
		"Lynx/2.9.0dev.5 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.6.13",
		"Links (2.29; Linux 6.1.0 x86_64; GNU C 12.2; text)",
		"ELinks/0.13.2 (textmode; Linux 6.1.0 x86_64; 100x25-2)",
		"w3m/0.5.3+git20230121",
		"URL/Emacs Emacs/29.4 (TTY; x86_64-pc-linux-gnu)",
		"Dillo/3.2.0",
		"NCSA_Mosaic/2.7b5 (X11;Linux 2.6.7 i686) libwww/2.12 modified",
		// Phones of old.
		"Nokia6280/2.0 (03.60) Profile/MIDP-2.0 Configuration/CLDC-1.1",
		"Nokia6303c/2.0 (06.40) Profile/MIDP-2.1 Configuration/CLDC-1.1 Mozilla/5.0 AppleWebKit/420 (KHTML, like Gecko) Safari/420",
		"BlackBerry8520/5.0.0.681 Profile/MIDP-2.1 Configuration/CLDC-1.1 VendorID/600",
		"SonyEricssonW810i/R46EA Browser/NetFront/3.3 Profile/MIDP-2.0 Configuration/CLDC-1.1 UP.Link/6.3.0.0.0",
		"LG-C320/V100 Obigo/Q7.3 MMS/LG-MMS-V1.0/1.2 Java/ASVM/1.1 Profile/MIDP-2.1 Configuration/CLDC-1.1",
		"UCWEB/2.0 (Java; U; MIDP-2.0; ru; NokiaE71-1) U2/1.0.0 UCBrowser/9.5.0.449 U2/1.0.0 Mobile",
		"DoCoMo/2.0 N905i(c100;TB;W24H16)",
		// Televisions, consoles, readers, small systems.
		"Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36 WebAppManager",
		"Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.5; Smart Monitor) AppleWebKit/537.36 (KHTML, like Gecko) 85.0.4183.93/6.5 TV Safari/537.36",
		"HbbTV/1.1.1 (;Panasonic;VIERA 2012;1.261;0071-3103 2000-0000;)",
		"Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4 Safari/605.1.15",
		"Mozilla/5.0 (Nintendo 3DS; U; ; en) Version/1.7412.EU",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/70.0.3538.102 Safari/537.36 Edge/18.18363",
		"Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/120.4.1 like Chrome/120.0.6099.230 Safari/537.36",
		"Mozilla/5.0 (X11; U; Linux x86_64; en-US) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/30.0.1599.114 Safari/537.36 Puffin/5.2.2IT",
		"Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
	}
	for _, group := range []struct {
		name           string
		agents         []string
		reads, changes bool
	}{
		{"crawler", crawlers, true, true},
		{"program", programs, true, false},
		{"browser", browsers, false, false},
	} {
		for _, agent := range group.agents {
			for _, agent := range []string{agent, strings.ToUpper(agent)} {
				if got := bot.Is(requestBy(http.MethodGet, agent)); got != group.reads {
					t.Errorf("%s %q reads: got %t, want %t", group.name, agent, got, group.reads)
				}
				if got := bot.Is(requestBy(http.MethodPost, agent)); got != group.changes {
					t.Errorf("%s %q changes something: got %t, want %t", group.name, agent, got, group.changes)
				}
			}
		}
	}
}

// TestIsBotByFrom holds that a robot is known by what only robots send.
func TestIsBotByFrom(t *testing.T) {
	r := requestBy(http.MethodGet, chromeAgent)
	r.Header.Set("From", "googlebot(at)googlebot.com")
	if !bot.Is(r) {
		t.Error("got false, want true")
	}
}

const chromeAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"

// TestIsBotCostsLittle holds that a browser's User-Agent allocates nothing,
// and that of a long one only the start is read.
func TestIsBotCostsLittle(t *testing.T) {
	for name, agent := range map[string]string{
		"browser": chromeAgent,
		"crawler": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"long":    strings.Repeat("a bo t ", 1<<20/7),
	} {
		r := requestBy(http.MethodGet, agent)
		most := 0.0
		if name == "crawler" {
			most = 20 // to make sure that it is one
		}
		if got := testing.AllocsPerRun(100, func() { bot.Is(r) }); got > most {
			t.Errorf("%s: got %v allocations, want %v at most", name, got, most)
		}
	}
	if bot.Is(requestBy(http.MethodGet, chromeAgent+strings.Repeat(" ", 512)+"bot")) {
		t.Error("a word behind the first 512 bytes was read")
	}
}

// FuzzIsBot holds that no User-Agent breaks the check, that case does not matter, and
// that only the first 512 bytes do.
func FuzzIsBot(f *testing.F) {
	for _, agent := range []string{"", chromeAgent, "curl/8.14.1", "Mozilla/5.0 (Linux; Android 9; CUBOT_X19)", "(compatible;", "android)bot", "cubocubott"} {
		f.Add(agent)
	}
	f.Fuzz(func(t *testing.T, agent string) {
		get, post := bot.Is(requestBy(http.MethodGet, agent)), bot.Is(requestBy(http.MethodPost, agent))
		if post && !get {
			t.Errorf("%q is a robot only when it posts", agent)
		}
		if agent == "" && !post {
			t.Error("nobody is not a robot")
		}
		swapped := strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}, strings.ToValidUTF8(agent, "?"))
		if bot.Is(requestBy(http.MethodGet, swapped)) != bot.Is(requestBy(http.MethodGet, strings.ToValidUTF8(agent, "?"))) {
			t.Errorf("%q and %q are not the same", agent, swapped)
		}
		if len(agent) > 512 && bot.Is(requestBy(http.MethodGet, agent[:512])) != get {
			t.Errorf("%q depends on what is behind its first 512 bytes", agent)
		}
	})
}

func BenchmarkIsBot(b *testing.B) {
	r := requestBy(http.MethodGet, chromeAgent)
	b.ReportAllocs()
	for b.Loop() {
		bot.Is(r)
	}
}
