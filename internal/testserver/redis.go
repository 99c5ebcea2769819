package testserver

import (
	"bufio"
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
		s, addr := clusterNode(t, program)
		nodes, addrs = append(nodes, s), append(addrs, addr)
		tell(t, addr, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/3, (i+1)*slots/3-1))
		tell(t, addr, fmt.Sprint("CLUSTER SET-CONFIG-EPOCH ", i+1))
	}
	for _, addr := range addrs[1:] {
		host, port, _ := net.SplitHostPort(addr) // it is one
		tell(t, addrs[0], "CLUSTER MEET "+host+" "+port)
	}
	for i, s := range nodes {
		s.wait(t, func() bool {
			info, err := ask("tcp", addrs[i], "CLUSTER INFO")
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return addrs
}

// clusterNode starts one on a port that is free, and so is the one 10000 above,
// on which the nodes talk. Both are below those that connections get.
func clusterNode(t testing.TB, program string) (*server, string) {
	t.Helper()
	for range 100 {
		port := 11000 + rand.IntN(10000)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if !free(port) || !free(port+10000) {
			continue
		}
		s := newServer(t, "redis")
		s.start(t, program, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--dir", s.dir,
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "5000")
		err := s.await(func() bool {
			// It writes its ID there; somebody else's node has another.
			id, err := ask("tcp", addr, "CLUSTER MYID")
			conf, _ := os.ReadFile(filepath.Join(s.dir, "nodes.conf")) // or not yet
			return err == nil && id != "" && strings.Contains(string(conf), id)
		})
		if err == nil {
			return s, addr
		}
		// Somebody was faster to take the port, and ours ended.
	}
	t.Fatal("no port is free for a Redis server")
	return nil, ""
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
