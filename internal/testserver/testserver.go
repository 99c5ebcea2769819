// Package testserver starts the real servers that tests talk to, from what is
// installed. They are temporary, on a Unix socket where possible, and end with the
// test.
package testserver

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Missing skips the test, since name is not there. It fails the test when the comma
// list in WALKIN_TEST_REQUIRE names it.
func Missing(t testing.TB, name, reason string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("WALKIN_TEST_REQUIRE"), ","), name) {
		t.Fatalf("%s is required: %s", name, reason)
	}
	t.Skipf("no %s: %s", name, reason)
}

// Postgres starts a PostgreSQL server and returns the folder of its socket. Its
// superuser is walkin, without a password; there is a database postgres.
func Postgres(t testing.TB) (socket string) {
	t.Helper()
	initdb := find(t, "postgres", "initdb", "/usr/lib/postgresql/*/bin")
	postgres := filepath.Join(filepath.Dir(initdb), "postgres")
	s := newServer(t, "postgres")
	data := filepath.Join(s.dir, "data")
	s.run(t, initdb, "-D", data, "-U", "walkin", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	// Not on the command line, which ALTER SYSTEM cannot change.
	conf := filepath.Join(data, "postgresql.conf")
	text, err := os.ReadFile(conf)
	if err == nil {
		err = os.WriteFile(conf, append(text, "\nfsync = off\nfull_page_writes = off\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.start(t, postgres, "-D", data, "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=200")
	s.wait(t, func() bool {
		// Its last line says what the server is doing.
		status, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		return err == nil && bytes.HasSuffix(bytes.TrimSpace(status), []byte("ready"))
	})
	return s.dir
}

// MariaDB starts a MariaDB server and returns its socket. Its user root has no
// password.
func MariaDB(t testing.TB) (socket string) {
	t.Helper()
	install := find(t, "mariadb", "mariadb-install-db", "/usr/bin")
	mariadbd := find(t, "mariadb", "mariadbd", "/usr/sbin")
	s := newServer(t, "mysql")
	data := filepath.Join(s.dir, "data")
	s.run(t, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	socket = filepath.Join(s.dir, "socket")
	s.start(t, mariadbd, "--no-defaults", "--datadir="+data, "--tmpdir="+s.dir, "--socket="+socket, "--skip-networking",
		"--pid-file="+filepath.Join(s.dir, "pid"), "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M",
		"--max-connections=200")
	s.wait(t, func() bool {
		// The file is there before the server listens.
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return socket
}

// PostgresURL returns the URL in WALKIN_TEST_POSTGRES_URL, or that of a new server as
// by [Postgres]. It is for tests that work in a schema of their own and drop it: the
// server may hold other data.
func PostgresURL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("WALKIN_TEST_POSTGRES_URL"); url != "" {
		return url
	}
	return "postgres://walkin@/postgres?host=" + url.QueryEscape(Postgres(t))
}

// MariaDBDSN returns the DSN in WALKIN_TEST_MYSQL_URL, which may begin with
// mysql://, or that of a new server as by [MariaDB]. It is for tests that work in
// a database of their own and drop it.
func MariaDBDSN(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv("WALKIN_TEST_MYSQL_URL"); dsn != "" {
		return strings.TrimPrefix(dsn, "mysql://")
	}
	return "root@unix(" + MariaDB(t) + ")/"
}

// find returns the newest program of that name in the folders or on the path.
func find(t testing.TB, server, program, folders string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && filepath.Base(path) == program {
			return path
		}
	}
	found, _ := filepath.Glob(filepath.Join(folders, program)) // the pattern is fine
	if len(found) == 0 {
		Missing(t, server, program+" is not installed")
	}
	return found[len(found)-1]
}

// A server is a process of its own user in a folder of its own.
type server struct {
	dir   string
	env   []string // besides what each has
	files []*os.File
	attr  *syscall.SysProcAttr
	log   bytes.Buffer
	done  chan struct{} // closed when the process has ended
	pid   int
	kill  func() // ends the process and waits for it; nothing in it is worth a shutdown
}

// newServer makes the folder. Servers refuse to run as root. Then the folder is given
// to account, or to an unprivileged system user, and they run as that user.
func newServer(t testing.TB, account string) *server {
	t.Helper()
	// Not t.TempDir: the name of a socket has 107 bytes at most.
	dir, err := os.MkdirTemp("", "walkin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &server{dir: dir, attr: attributes(t, account, dir), done: make(chan struct{})}
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = s.dir
	c.SysProcAttr = s.attr
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "LC_ALL=C", "TZ=UTC"}, s.env...)
	c.ExtraFiles = s.files
	c.Stdout, c.Stderr = &s.log, &s.log
	return c
}

func (s *server) run(t testing.TB, name string, args ...string) {
	t.Helper()
	if err := s.command(name, args...).Run(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, &s.log)
	}
}

// start runs the server until the test ends.
func (s *server) start(t testing.TB, name string, args ...string) {
	t.Helper()
	c := s.command(name, args...)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // attributes says why
		defer runtime.UnlockOSThread()
		defer close(s.done)
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait() // it is killed
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(fmt.Errorf("%s: %w", filepath.Base(name), err))
	}
	s.pid = c.Process.Pid
	s.kill = func() {
		_ = c.Process.Kill() // or it has ended
		<-s.done
	}
	t.Cleanup(s.kill)
}

// wait waits for the server to be ready.
func (s *server) wait(t testing.TB, ready func() bool) {
	t.Helper()
	if err := s.await(ready); err != nil {
		t.Fatal(err)
	}
}

// await gives a server two minutes: one that joins others copies their data first,
// and the machine may be busy.
func (s *server) await(ready func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for {
		if ready() {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.done:
			return fmt.Errorf("the server ended:\n%s", &s.log)
		case <-deadline:
			return errors.New("the server does not listen after two minutes")
		}
	}
}
