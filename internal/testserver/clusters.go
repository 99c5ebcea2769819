//go:build unix

package testserver

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Cluster is several database servers of one database.
type Cluster struct {
	Addrs []string // of its nodes
	nodes []*server
}

// Kill ends a node as a power cut does.
func (c Cluster) Kill(node int) { c.nodes[node].kill() }

// Galera starts three nodes of MariaDB with Galera on 127.0.0.1. Each is written to
// by user root, without a password.
func Galera(t testing.TB) Cluster {
	t.Helper()
	install := find(t, "galera", "mariadb-install-db", "/usr/bin")
	mariadbd := find(t, "galera", "mariadbd", "/usr/sbin")
	provider := find(t, "galera", "libgalera_smm.so", "/usr/lib/galera")
	find(t, "galera", "rsync", "/usr/bin") // which brings a node the data
	var c Cluster
	members := ""
	for range 3 {
		s := newServer(t, "mysql")
		data, socket := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "socket")
		s.run(t, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
		ports := freePorts(t, 4)
		s.start(t, mariadbd, "--no-defaults", "--datadir="+data, "--tmpdir="+s.dir, "--socket="+socket, "--pid-file="+filepath.Join(s.dir, "pid"),
			"--bind-address=127.0.0.1", "--port="+ports[0], "--max-connections=200", "--innodb-buffer-pool-size=64M",
			"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--innodb-flush-log-at-trx-commit=0",
			"--wsrep-on=ON", "--wsrep-provider="+provider, "--wsrep-cluster-name=walkin", "--wsrep-cluster-address=gcomm://"+members,
			"--wsrep-node-address=127.0.0.1", "--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=127.0.0.1:"+ports[3],
			"--wsrep-provider-options=base_port="+ports[1]+";gmcast.listen_addr=tcp://127.0.0.1:"+ports[1]+";ist.recv_addr=127.0.0.1:"+ports[2])
		// The socket is there once the node has the data.
		s.wait(t, func() bool {
			conn, err := net.Dial("unix", socket)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		addr := net.JoinHostPort("127.0.0.1", ports[0])
		c.nodes, c.Addrs = append(c.nodes, s), append(c.Addrs, addr)
		members = strings.TrimPrefix(members+",127.0.0.1:"+ports[1], ",")
	}
	return c
}

// Patroni starts etcd and two nodes of PostgreSQL under Patroni on 127.0.0.1: a
// primary, and a standby that confirms each commit. Their superuser is walkin.
func Patroni(t testing.TB) Cluster {
	t.Helper()
	etcd := find(t, "patroni", "etcd", "/usr/bin")
	patroni := find(t, "patroni", "patroni", "/usr/bin")
	initdb := find(t, "patroni", "initdb", "/usr/lib/postgresql/*/bin")
	keeper := newServer(t, "postgres")
	ports := freePorts(t, 2)
	client, peer := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	keeper.start(t, etcd, "--data-dir", filepath.Join(keeper.dir, "data"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	keeper.wait(t, func() bool { _, ok := fetched(client + "/health"); return ok })

	var c Cluster
	for i := range 2 {
		s := newServer(t, "postgres")
		ports := freePorts(t, 2)
		addr := net.JoinHostPort("127.0.0.1", ports[0])
		settings := filepath.Join(s.dir, "patroni.yml")
		text := fmt.Sprintf(patroniSettings, i, ports[1], ports[1], strings.TrimPrefix(client, "http://"), addr, addr, s.dir, filepath.Dir(initdb), s.dir, s.dir)
		if err := errors.Join(os.WriteFile(settings, []byte(text), 0o600), os.Chmod(settings, 0o644)); err != nil {
			t.Fatal(err)
		}
		s.start(t, patroni, settings)
		role := []string{"primary", "replica"}[i]
		s.wait(t, func() bool { _, ok := fetched("http://127.0.0.1:" + ports[1] + "/" + role); return ok })
		c.nodes, c.Addrs = append(c.nodes, s), append(c.Addrs, addr)
		s.killAlso(t, filepath.Join(s.dir, "data", "postmaster.pid"))
		if i == 1 { // the primary waits for its word from now on
			keeper.wait(t, func() bool {
				text, ok := fetched("http://127.0.0.1:" + ports[1] + "/cluster")
				return ok && strings.Contains(text, `"sync_standby"`)
			})
		}
	}
	return c
}

const patroniSettings = `
scope: walkin
name: node%d
restapi: {listen: "127.0.0.1:%s", connect_address: "127.0.0.1:%s"}
etcd3: {hosts: "%s"}
bootstrap:
  dcs: {ttl: 20, loop_wait: 1, retry_timeout: 5, maximum_lag_on_failover: 1048576, synchronous_mode: true}
  initdb: [{encoding: UTF8}, {locale: C}, {auth: trust}, no-sync]
postgresql:
  listen: "%s"
  connect_address: "%s"
  data_dir: %s/data
  bin_dir: %s
  pgpass: %s/pgpass
  authentication: {superuser: {username: walkin}, replication: {username: walkin}}
  parameters: {max_connections: 200, unix_socket_directories: "%s"}
  pg_hba: ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
`

// killAlso makes the end of a server also end the one that it has started, whose
// process a file names. Patroni's PostgreSQL outlives Patroni, as it should, but would
// not outlive a power cut.
func (s *server) killAlso(t testing.TB, pidFile string) {
	kill := s.kill
	s.kill = func() {
		_ = syscall.Kill(s.pid, syscall.SIGKILL) // first, since it would start the other again
		if text, err := os.ReadFile(pidFile); err == nil {
			line, _, _ := strings.Cut(string(text), "\n")
			if pid, err := strconv.Atoi(line); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		kill() // waits for both, which share an output
	}
	t.Cleanup(s.kill)
}

// fetched reads an address, and reports whether it answered with 200.
func fetched(url string) (text string, ok bool) {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return "", false
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return string(b), err == nil && response.StatusCode == http.StatusOK
}

// freePorts returns ports that are free just now, below those that connections get.
func freePorts(t testing.TB, n int) (ports []string) {
	t.Helper()
	for range 1000 {
		port := 11000 + rand.IntN(20000)
		if free(port) && free(port+1) { // the next one is some servers' second
			ports = append(ports, strconv.Itoa(port))
		}
		if len(ports) == n {
			return ports
		}
	}
	t.Fatal("no ports are free")
	return nil
}
