package testserver

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A reverse is a program that stands in front of an app.
type reverse struct {
	program string
	folders string
	config  func(dir, port, backend, settings string) string
	args    func(file string) []string
}

// reverses are those that Debian has. Their paths are relative to a folder of their
// own where they can be.
var reverses = map[string]reverse{
	"nginx": {"nginx", "/usr/sbin",
		func(_, port, backend, settings string) string {
			return fmt.Sprintf("daemon off;\nmaster_process off;\npid pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+
				"client_body_temp_path a;\nproxy_temp_path b;\nfastcgi_temp_path c;\nuwsgi_temp_path d;\nscgi_temp_path e;\n"+
				"server {\nlisten 127.0.0.1:%s;\nlisten [::1]:%s;\nlocation / {\nproxy_pass http://%s;\n%s\n}\n}\n}\n", port, port, backend, settings)
		},
		func(file string) []string { return []string{"-e", "stderr", "-p", filepath.Dir(file), "-c", file} }},
	"caddy": {"caddy", "/usr/bin",
		func(_, port, backend, settings string) string {
			return fmt.Sprintf("{\nadmin off\nauto_https off\n}\nhttp://:%s {\nbind 127.0.0.1 ::1\nreverse_proxy %s {\n%s\n}\n}\n", port, backend, settings)
		},
		func(file string) []string { return []string{"run", "--config", file, "--adapter", "caddyfile"} }},
	"haproxy": {"haproxy", "/usr/sbin",
		func(_, port, backend, settings string) string {
			return fmt.Sprintf("defaults\nmode http\ntimeout connect 5s\ntimeout client 30s\ntimeout server 30s\n"+
				"listen app\nbind 127.0.0.1:%s\nbind [::1]:%s\n%s\nserver one %s\n", port, port, settings, backend)
		},
		func(file string) []string { return []string{"-db", "-f", file} }},
	"apache2": {"apache2", "/usr/sbin",
		func(dir, port, backend, settings string) string {
			return fmt.Sprintf("ServerRoot %s\nServerName localhost\nPidFile %s/pid\nErrorLog %s/log\nMutex file:%s\nListen 127.0.0.1:%s\nListen [::1]:%s\n"+
				"LoadModule mpm_worker_module /usr/lib/apache2/modules/mod_mpm_worker.so\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n"+
				"LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so\nLoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so\n"+
				"ProxyPass / http://%s/\n%s\n", dir, dir, dir, dir, port, port, backend, settings)
		},
		func(file string) []string { return []string{"-X", "-f", file} }},
}

// Proxy starts a reverse proxy, "nginx", "caddy", "haproxy" or "apache2", in front
// of an app at backend, a host and a port of 127.0.0.1, and returns the port at
// which it listens, on 127.0.0.1 and on ::1. The settings are lines for the place
// where that proxy has those of one app. It is ready when ready says so of the
// port.
func Proxy(t testing.TB, name, settings, backend string, ready func(port string) bool) (port string) {
	t.Helper()
	r := reverses[name]
	program := find(t, name, r.program, r.folders)
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		Missing(t, name, "there is no ::1 here")
	}
	_ = l.Close()
	for range 20 {
		n := 21000 + rand.IntN(10000)
		if !free(n) {
			continue
		}
		port = fmt.Sprint(n)
		s := newServer(t, "www-data")
		file := filepath.Join(s.dir, "conf")
		if err := os.WriteFile(file, []byte(r.config(s.dir, port, backend, settings)), 0o644); err != nil {
			t.Fatal(err)
		}
		s.start(t, program, r.args(file)...)
		err := s.await(func() bool { return ready(port) })
		if err == nil {
			return port
		}
		if !strings.Contains(strings.ToLower(s.log.String()), "address already in use") {
			t.Fatal(fmt.Errorf("%s: %w", name, err))
		}
	}
	t.Fatalf("no port is free for %s", name)
	return ""
}
