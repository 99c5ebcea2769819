package testserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Redis starts a Redis server and returns its URL, or that in
// WALKIN_TEST_REDIS_URL: use keys of your own, and let them expire.
func Redis(t testing.TB) (url string) {
	t.Helper()
	if url := os.Getenv("WALKIN_TEST_REDIS_URL"); url != "" {
		return url
	}
	program := find(t, "redis", "redis-server", "/usr/bin")
	s := newServer(t, "redis")
	socket := filepath.Join(s.dir, "socket")
	s.start(t, program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", s.dir)
	s.wait(t, func() bool {
		answer, err := ask("unix", socket, "PING")
		return err == nil && answer == "+PONG"
	})
	return "unix://" + socket
}

// RedisCluster starts a cluster of three Redis servers without replicas on
// 127.0.0.1 and returns their addresses.
func RedisCluster(t testing.TB) (addrs []string) {
	t.Helper()
	program := find(t, "redis", "redis-server", "/usr/bin")
	const slots = 16384
	var nodes []*server
	for i := range 3 {
		s, addr := redisNode(t, program, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "5000")
		nodes, addrs = append(nodes, s), append(addrs, addr)
		tell(t, addr, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/3, (i+1)*slots/3-1))
		tell(t, addr, fmt.Sprint("CLUSTER SET-CONFIG-EPOCH ", i+1))
	}
	for _, addr := range addrs[1:] {
		host, port, _ := net.SplitHostPort(addr) // it is one
		tell(t, addrs[0], "CLUSTER MEET "+host+" "+port)
	}
	for i, s := range nodes {
		s.waitFor(t, addrs[i], "CLUSTER INFO", "cluster_state:ok", "cluster_known_nodes:3")
	}
	return addrs
}

// A RedisFailover is a primary with a replica, and the Sentinel that watches
// them.
type RedisFailover struct {
	Sentinel string // its address
	Name     string // what it calls the primary
	primary  *server
}

// Kill ends the primary. It takes a second or two until the replica takes over.
func (f RedisFailover) Kill() { f.primary.kill() }

// RedisSentinel starts them on 127.0.0.1.
func RedisSentinel(t testing.TB) RedisFailover {
	t.Helper()
	program := find(t, "redis", "redis-server", "/usr/bin")
	primary, addr := redisNode(t, program)
	host, port, _ := net.SplitHostPort(addr) // it is one
	redisNode(t, program, "--replicaof", host+" "+port)
	primary.waitFor(t, addr, "INFO replication", "state=online")

	sentinel, at := redisNode(t, program, "--sentinel")
	const name = "walkin"
	tell(t, at, fmt.Sprintf("SENTINEL MONITOR %s %s %s 1", name, host, port))
	tell(t, at, fmt.Sprintf("SENTINEL SET %s down-after-milliseconds 500 failover-timeout 5000", name))
	sentinel.waitFor(t, at, "INFO sentinel", "status=ok,address="+addr+",slaves=1")
	return RedisFailover{Sentinel: at, Name: name, primary: primary}
}

// redisNode starts a server on a port that is free, and so is the one 10000
// above, on which the nodes of a cluster talk. Both are below those that
// connections get.
func redisNode(t testing.TB, program string, args ...string) (*server, string) {
	t.Helper()
	for range 100 {
		port := 11000 + rand.IntN(10000)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if !free(port) || !free(port+10000) {
			continue
		}
		s := newServer(t, "redis")
		// A Sentinel insists on a file, to which it also writes. The folder is
		// closed to others.
		file := filepath.Join(s.dir, "conf")
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(file, 0o666)); err != nil {
			t.Fatal(err)
		}
		s.start(t, program, append([]string{file, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", ""}, args...)...)
		if s.await(func() bool { return answers(addr, "INFO server", fmt.Sprintf("process_id:%d\r", s.pid)) }) == nil {
			return s, addr
		}
		// Another process was faster to take the port, and ours ended.
	}
	t.Fatal("no port is free for a Redis server")
	return nil, ""
}

// waitFor waits until the server answers a command with some text.
func (s *server) waitFor(t testing.TB, addr, command string, texts ...string) {
	t.Helper()
	s.wait(t, func() bool { return answers(addr, command, texts...) })
}

func answers(addr, command string, texts ...string) bool {
	answer, err := ask("tcp", addr, command)
	for _, text := range texts {
		if !strings.Contains(answer, text) {
			return false
		}
	}
	return err == nil
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func tell(t testing.TB, addr, command string) {
	t.Helper()
	if answer, err := ask("tcp", addr, command); err != nil || answer != "+OK" {
		t.Fatalf("%s: %q, %v", command, answer, err)
	}
}

// ask sends a command to a Redis server and returns its answer.
func ask(network, addr, command string) (string, error) {
	conn, err := net.Dial(network, addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	line = strings.TrimSpace(line)
	if err != nil || !strings.HasPrefix(line, "$") {
		return line, err
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 0 {
		return line, err
	}
	text := make([]byte, n)
	_, err = io.ReadFull(r, text)
	return string(text), err
}
