package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// startPostgres starts a PostgreSQL in a folder of its own, which goes with the
// process: on a socket alone, so that nothing else on the machine meets it.
func startPostgres() (database string, stop func(), err error) {
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is fine
		if len(found) == 0 {
			return "", nil, errors.New("there is no -database, and no PostgreSQL is installed to start one (initdb is missing): " +
				"install it, for example apt-get install postgresql, or give a URL")
		}
		initdb = found[len(found)-1]
	}
	initdb, err = filepath.EvalSymlinks(initdb)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "forum-")
	if err != nil {
		return "", nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) } // a temporary folder
	attr, err := attributes(dir)
	if err != nil {
		remove()
		return "", nil, err
	}
	data := filepath.Join(dir, "data")
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(name, args...)
		c.Dir, c.SysProcAttr = dir, attr
		c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "TZ=UTC"}
		return c
	}
	if out, err := command(initdb, "-D", data, "-U", "forum", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync").CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	server := command(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	done, started := make(chan struct{}), make(chan error)
	go func() {
		// The server is told when this thread ends, so it has to stay; see attributes.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := server.Start()
		started <- err
		if err == nil {
			_ = server.Wait() // it is killed
		}
	}()
	if err := <-started; err != nil {
		remove()
		return "", nil, err
	}
	stop = func() {
		_ = server.Process.Kill() // or it has ended
		<-done
		remove()
	}
	for range 600 {
		// Its last line says what the server is doing.
		status, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if err == nil && bytes.HasSuffix(bytes.TrimSpace(status), []byte("ready")) {
			return "postgres://forum@/postgres?host=" + url.QueryEscape(dir), stop, nil
		}
		select {
		case <-done:
			remove()
			return "", nil, errors.New("PostgreSQL ended as soon as it was started")
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	return "", nil, errors.New("PostgreSQL does not listen after 30 seconds")
}
