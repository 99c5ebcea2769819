package testserver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Chromium returns the path of a browser.
func Chromium(t testing.TB) (path string) {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, "chromium", "the walk through a real browser is left out")
	return ""
}

// Firefox starts Firefox without a window and returns the address of its WebDriver
// BiDi, which is a WebSocket. Each of more is a line of its user.js.
func Firefox(t testing.TB, more ...string) (url string) {
	t.Helper()
	program := ""
	for _, name := range []string{"firefox-esr", "firefox"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		Missing(t, "firefox", "Firefox is not installed")
	}
	s := newServer(t, "nobody")
	// It talks to the test alone, and shows JSON as it is. The rest it sets itself
	// under remote control.
	const settings = `user_pref("network.connectivity-service.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("browser.safebrowsing.downloads.remote.enabled", false);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("devtools.jsonview.enabled", false);
`
	if err := os.WriteFile(filepath.Join(s.dir, "user.js"), []byte(settings+strings.Join(more, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	s.start(t, program, "--headless", "--no-remote", "--profile", s.dir, "--remote-debugging-port", "0")
	s.wait(t, func() bool {
		// It says there which port it was given.
		text, err := os.ReadFile(filepath.Join(s.dir, "WebDriverBiDiServer.json"))
		var at struct {
			Host string `json:"ws_host"`
			Port int    `json:"ws_port"`
		}
		if err != nil || json.Unmarshal(text, &at) != nil {
			return false
		}
		url = fmt.Sprintf("ws://%s/session", net.JoinHostPort(at.Host, strconv.Itoa(at.Port)))
		return true
	})
	return url
}

// A WebKit starts drivers of WebKitGTK, whose windows are on a screen of their own.
type WebKit struct{ driver, browser, display string }

// NewWebKit starts the screen.
func NewWebKit(t testing.TB) *WebKit {
	t.Helper()
	w := &WebKit{driver: find(t, "webkit", "WebKitWebDriver", "/usr/bin")}
	// It is no command that people type, and is kept with the library.
	for _, pattern := range []string{"/usr/lib/*/webkit2gtk-4.1/MiniBrowser", "/usr/lib*/webkit2gtk-4.*/MiniBrowser", "/usr/libexec/webkit2gtk-4.*/MiniBrowser"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 { // the pattern is fine
			w.browser = found[len(found)-1]
			break
		}
	}
	if w.browser == "" {
		Missing(t, "webkit", "MiniBrowser is not installed")
	}
	program := find(t, "webkit", "Xvfb", "/usr/bin")
	s := newServer(t, "nobody")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	s.files = []*os.File{write}
	s.start(t, program, "-displayfd", "3", "-screen", "0", "1400x1100x24", "-nolisten", "tcp")
	write.Close()
	number, err := bufio.NewReader(read).ReadString('\n') // or it has ended
	if err != nil {
		t.Fatalf("Xvfb has no screen: %v\n%s", err, &s.log)
	}
	w.display = ":" + strings.TrimSpace(number)
	return w
}

// Browser returns the path of the browser that a driver is to start.
func (w *WebKit) Browser() string { return w.browser }

// Driver starts a driver, which can have one browser, and returns its URL.
func (w *WebKit) Driver(t testing.TB) (url string) {
	t.Helper()
	for range 20 {
		port := 11000 + rand.IntN(10000)
		if !free(port) {
			continue
		}
		s := newServer(t, "nobody")
		s.env = []string{"DISPLAY=" + w.display, "LIBGL_ALWAYS_SOFTWARE=1", "NO_AT_BRIDGE=1"} // there is neither a graphics card nor a desktop
		s.start(t, w.driver, "--port="+strconv.Itoa(port))
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if s.await(func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
			}
			return err == nil
		}) == nil {
			return "http://" + addr
		}
		// Another process was faster to take the port, and ours ended.
	}
	t.Fatal("no port is free for WebKitWebDriver")
	return ""
}
