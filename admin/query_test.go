package admin_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/admin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestQuery holds as whom the query of an operator runs, that its result and its error
// are text, and that only an operator with a recent proof runs one.
func TestQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		member, memberID := o.member("ann@example.com")
		guest, guestID := o.guest()
		var got []walkin.Claims
		o.query = func(ctx context.Context, c walkin.Claims, query string) (admin.Table, error) {
			if end, bounded := ctx.Deadline(); !bounded || time.Until(end) > 10*time.Second {
				t.Errorf("the query ends %v", end)
			}
			got = append(got, c)
			if query == "slow" {
				<-ctx.Done()
				return admin.Table{}, ctx.Err()
			}
			if query != "SELECT 1" {
				return admin.Table{}, errors.New(`syntax error at or near "<script>"`)
			}
			return admin.Table{Columns: []string{"<b>"}, Rows: [][]any{{nil}, {"<i>"}, {int64(7)}, {[16]byte(memberID)}, {strings.Repeat("é", 600)}}, More: true}, nil
		}
		post := func(c *walkintest.Client, as, id, query string) (int, string) {
			t.Helper()
			r := c.Post("/admin/query", url.Values{"as": {as}, "id": {id}, "query": {query}})
			return r.StatusCode, text(t, r)
		}
		for _, c := range []*walkintest.Client{walkintest.NewClient(t, o.site), guest, member} {
			if status, _ := post(c, "none", "", "SELECT 1"); status != http.StatusUnauthorized && status != http.StatusForbidden {
				t.Errorf("no operator: got %d", status)
			}
		}
		other := o.operator.NewRequest(http.MethodPost, "/admin/query", strings.NewReader("as=none&query=SELECT+1"))
		other.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		other.Header.Set("Sec-Fetch-Site", "cross-site")
		other.Header.Set("Origin", "https://evil.example")
		if r := o.operator.Do(other); r.StatusCode != http.StatusForbidden {
			t.Errorf("another site's form: got %d", r.StatusCode)
		}
		if len(got) > 0 {
			t.Fatalf("a query ran for no operator, as %+v", got)
		}

		status, page := post(o.operator, "none", "", "SELECT 1")
		for _, part := range []string{"&lt;b&gt;", "&lt;i&gt;", "<i>NULL</i>", "<bdi>7</bdi>", memberID.String(), strings.Repeat("é", 500) + "…", "5 rows, as a request without a user", "There are more"} {
			if status != http.StatusOK || !strings.Contains(page, part) {
				t.Errorf("got %d, a page that lacks %q", status, part)
			}
		}
		post(o.operator, "anonymous", "", "SELECT 1")
		post(o.operator, "user", memberID.String(), "SELECT 1")
		post(o.operator, "user", guestID.String(), "SELECT 1")
		if len(got) != 4 || got[0].UserID != uuid.Nil || !got[1].Anonymous || got[1].UserID == uuid.Nil || got[2].UserID != memberID || got[2].Anonymous || got[3].UserID != guestID || !got[3].Anonymous {
			t.Errorf("got %+v", got)
		}
		for _, c := range got {
			if c.Actor != o.id {
				t.Errorf("got the actor %v, want the operator", c.Actor)
			}
		}
		for _, c := range []struct{ as, id, query, want string }{
			{"user", uuid.NewString(), "SELECT 1", "There is no such user."},
			{"user", "x", "SELECT 1", "There is no such user."},
			{"", "", "SELECT 1", "There is no such user."},
			{"none", "", " ", "Write a query first."},
			{"none", "", strings.Repeat("x", 17<<10), "The query is longer than 16 KB."},
			{"none", "", "SELEC", `syntax error at or near &#34;&lt;script&gt;&#34;`},
			{"none", "", "slow", "The query took longer than 10 seconds."},
		} {
			if status, page := post(o.operator, c.as, c.id, c.query); status != http.StatusOK || !strings.Contains(page, c.want) || strings.Contains(page, "<script>") {
				t.Errorf("as %s%s: got %d, a page that lacks %q", c.as, c.id, status, c.want)
			}
		}

		ran := len(got)
		time.Sleep(11 * time.Minute)
		if status, _ := post(o.operator, "none", "", "SELECT 1"); status != http.StatusForbidden && status != http.StatusSeeOther || len(got) > ran {
			t.Errorf("an old proof: got %d, and %d queries", status, len(got)-ran)
		}
		if status := o.operator.Fetch("/admin/query").StatusCode; status == http.StatusOK {
			t.Error("the form opened after an old proof")
		}
	})
}
