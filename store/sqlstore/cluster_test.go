//go:build unix

package sqlstore_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// Clusters take minutes: make clusters sets this.
const clustersEnv = "WALKIN_TEST_CLUSTERS"

// TestGalera runs what every database runs on one node of three. Then another node
// takes over from one that is gone.
func TestGalera(t *testing.T) {
	if os.Getenv(clustersEnv) == "" {
		t.Skip("a cluster takes minutes: make clusters")
	}
	cluster := testserver.Galera(t)
	at := func(node int, name string) database {
		cfg := mysql.NewConfig()
		cfg.User, cfg.Net, cfg.Addr, cfg.DBName = "root", "tcp", cluster.Addrs[node], name
		return database{dialect: sqlstore.MySQL, driver: "mysql", dsn: cfg.FormatDSN()}
	}
	admin := openPool(t, "mysql", at(0, "").dsn)
	clusterScenarios(t, func(t testing.TB) database {
		return at(0, create(t, admin, "CREATE DATABASE %s", "DROP DATABASE %s"))
	})
	t.Run("a node is gone", func(t *testing.T) {
		name := "walkin_failover"
		run(t, admin, "CREATE DATABASE "+name)
		failOver(t, at(0, name), at(1, name), func() { cluster.Kill(0) })
	})
}

// TestPatroni runs the same on a primary with a standby, and kills the primary. The
// driver finds the new one by the list of hosts in the URL.
func TestPatroni(t *testing.T) {
	if os.Getenv(clustersEnv) == "" {
		t.Skip("a cluster takes minutes: make clusters")
	}
	cluster := testserver.Patroni(t)
	url := fmt.Sprintf("postgres://walkin@%s/postgres?target_session_attrs=read-write&sslmode=disable&connect_timeout=10&search_path=", strings.Join(cluster.Addrs, ","))
	admin := openPool(t, "pgx", url+"public")
	clusterScenarios(t, func(t testing.TB) database {
		return database{dialect: sqlstore.PostgreSQL, driver: "pgx", dsn: url + create(t, admin, "CREATE SCHEMA %s", "DROP SCHEMA %s CASCADE")}
	})
	t.Run("the primary is gone", func(t *testing.T) {
		run(t, admin, "CREATE SCHEMA walkin_failover")
		d := database{dialect: sqlstore.PostgreSQL, driver: "pgx", dsn: url + "walkin_failover"}
		failOver(t, d, d, func() { cluster.Kill(0) })
	})
}

// clusterScenarios are the public suite, and the races of two replicas.
func clusterScenarios(t *testing.T, server server) {
	runStore(t, server)
	t.Run("an upgrade that races a sign-out loses nothing", func(t *testing.T) { upgradeRacesSignOut(t, server(t)) })
	t.Run("mixed load: no error and no deadlock", func(t *testing.T) { mixedLoad(t, server(t)) })
}

// failOver has visitors of a site write while the server that it talks to is killed.
// What was answered with 200 is there afterwards, and all users who were there still
// are.
func failOver(t *testing.T, before, after database, kill func()) {
	_, db := before.migrated(t)
	createNotes(t, before, db)
	replicas := []*replicaProcess{startReplica(t, before), startReplica(t, before)}
	h := newHistory()
	browsers := make([]*walkintest.Client, 8)
	write := func() (ok bool) {
		for i := range browsers {
			if browsers[i] == nil {
				browsers[i] = walkintest.NewClient(t, replicas[0])
				h.send(t, browsers[i], replicas, navigation(browsers[i], "/"))
			}
			served := h.statuses[http.StatusOK]
			h.send(t, browsers[i], replicas, post(browsers[i], fmt.Sprintf("/note?n=%d", h.next.Add(1)), nil))
			if ok = h.statuses[http.StatusOK] > served; !ok {
				return false
			}
		}
		return true
	}
	for range 5 {
		if !write() {
			t.Fatalf("before anything failed: got %v", h.statuses)
		}
	}
	killed := time.Now()
	kill()
	if after.dsn != before.dsn { // the driver does not find the other node by itself
		write()
		for _, r := range replicas {
			r.site = after
			r.restart(t)
		}
	}
	for !write() {
		if time.Since(killed) > 3*time.Minute {
			t.Fatalf("three minutes later: got %v", h.statuses)
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("all %d visitors write again %v after the end of the server; %v", len(browsers), time.Since(killed).Round(100*time.Millisecond), h.statuses)
	_, db = after.store(t)
	for rule, violations := range h.violations(h.ask(t, replicas[0]), readTruth(t, after, db)) {
		for _, v := range violations {
			t.Errorf("%s: %s", rule, v)
		}
	}
	users := make(map[string]bool)
	for _, owner := range h.notes {
		users[owner.String()] = true
	}
	if len(users) != len(browsers) {
		t.Errorf("%d visitors were %d users", len(browsers), len(users))
	}
}
