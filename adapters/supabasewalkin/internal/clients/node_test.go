package clients_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/walkin-go/walkin/internal/testserver"
)

// supabaseJS returns the folder of example/forum with supabase-js in it.
var supabaseJS = sync.OnceValues(func() (string, error) {
	forum, err := filepath.Abs(filepath.Join("..", "..", "..", "..", "example", "forum"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(forum, "node_modules", "@supabase", "supabase-js")); err == nil {
		return forum, nil
	}
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = forum
	return forum, install.Run()
})

func modules(t *testing.T) (forum string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Missing(t, "node", program+" is not installed")
		}
	}
	forum, err := supabaseJS()
	if err != nil {
		testserver.Missing(t, "node", "npm ci in example/forum: "+err.Error())
	}
	return forum
}

// A node is a process with supabase-js.
type node struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func (r *replica) node(flow string) *node {
	r.t.Helper()
	cmd := exec.Command("node", filepath.Join("testdata", "client.mjs"), r.url, publishable, flow)
	cmd.Env = append(os.Environ(), "FORUM="+modules(r.t), "NODE_NO_WARNINGS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // it was told to end
	})
	return &node{r.t, in, bufio.NewScanner(out)}
}

// A said is what a call of the client returned.
type said struct {
	Failed, Code, URL string
	Status            int
	User              struct {
		ID        string
		Anonymous bool
		Providers []string
	}
	Identities, Events []string
}

func (n *node) do(words ...string) (s said) {
	n.t.Helper()
	line, err := json.Marshal(words)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.in.Write(append(line, '\n')); err != nil {
		n.t.Fatal(err)
	}
	if !n.out.Scan() || json.Unmarshal(n.out.Bytes(), &s) != nil || s.Failed != "" {
		n.t.Fatalf("%v: got %q", words, n.out.Bytes())
	}
	return s
}

// good fails unless a call succeeded.
func (n *node) good(words ...string) said {
	n.t.Helper()
	s := n.do(words...)
	if s.Code != "" || s.Status >= 400 {
		n.t.Fatalf("%v: got %d %s", words, s.Status, s.Code)
	}
	return s
}
