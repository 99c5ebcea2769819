package docs

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestPoolerPage holds that the DSN of docs/scaling.md says what the page says of it.
func TestPoolerPage(t *testing.T) {
	cfg, err := pgx.ParseConfig(strings.TrimSpace(codeOf(t, "docs/scaling.md", "text", "pgbouncer")))
	ok(t, err)
	if cfg.DefaultQueryExecMode != pgx.QueryExecModeExec || cfg.Host != "pgbouncer" {
		t.Errorf("got %v at %s", cfg.DefaultQueryExecMode, cfg.Host)
	}
}
