package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/browser"
)

// everything returns all rows of the tables that users own.
func (h *host) everything(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, table := range []string{"walkin_users", "walkin_identities", "walkin_sessions", "notes"} {
		rows, err := h.site.notes.db.QueryContext(t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2, 3")
		if err != nil {
			t.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			row := make([]any, len(names))
			for i := range row {
				row[i] = new(sql.RawBytes)
			}
			if err := rows.Scan(row...); err != nil {
				t.Fatal(err)
			}
			for i := range row {
				fmt.Fprintf(&all, "%s.%s=%x ", table, names[i], *row[i].(*sql.RawBytes))
			}
			all.WriteString("\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

const boss = "boss@example.com"

// TestReadOnly is an operator who sees Margin as a user: no unsafe request passes, on
// any route, and nothing changes.
func TestReadOnly(t *testing.T) {
	server := newHost(t, config{admin: "Boss@example.com"})
	ann := newBrowser(t, server)
	note := ann.write("a word of Ann's")
	annID := ann.whoami().ID
	operator := newBrowser(t, server)
	operator.get("/admin/").must(t, 403, "")
	operator.upgrade("bob@example.com")
	operator.get("/admin/").must(t, 403, "") // a member is no operator
	operator.post("/signout")
	operator.upgrade(boss)
	operator.get("/admin/").must(t, 200, "")
	page := operator.get("/admin/users/"+annID).must(t, 200, "")
	if field := renderedFor.FindStringSubmatch(page.body); field != nil {
		t.Errorf("a form of the screen has a field for %s", field[1])
	}
	operator.post("/admin/users/"+annID+"/impersonate", "reason", "ticket 7").must(t, 303, "/")
	if got := operator.whoami(); got.ID != annID || !got.IsAnonymous {
		t.Fatalf("got %+v, want Ann", got)
	}
	front := operator.get("/").must(t, 200, "").has(t, "a word of Ann&#39;s", "walkin-impersonation", annID)
	form := url.Values{"text": {"written by another"}, "email": {"eve@example.com"}, "password": {secret}, "code": {"123456"}, "name": {"Eve"},
		"provider": {"sample"}, "reason": {"x"}, "sure": {"yes"}, "walkin_rendered_for": {renderedFor.FindStringSubmatch(front.body)[1]}}
	before, tried := server.everything(t), 0
	for _, route := range append(routes(t), "/admin/users/{id}/delete", "/admin/users/{id}/ban", "/notes/{id}/nothing") {
		method, path, ok := strings.Cut(route, " ")
		if !ok {
			method, path = "POST", route // of any method
		}
		if method != "POST" || path == "/signout" { // which ends it, see below
			continue
		}
		path = strings.TrimSuffix(strings.ReplaceAll(strings.ReplaceAll(path, "/users/{id}", "/users/"+annID), "{id}", note), "{$}")
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			tried++
			if a := operator.do(method, path, form); a.status != http.StatusForbidden {
				t.Errorf("%s %s: got %d to %q", method, path, a.status, a.location)
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d requests were tried", tried)
	}
	for _, path := range []string{"/account/", "/upgrade", "/signin", "/resume", "/admin/", "/signout"} {
		operator.get(path) // a page changes nothing either
	}
	if after := server.everything(t); after != before {
		t.Errorf("something changed. Before:\n%s\nafter:\n%s", before, after)
	}
	operator.post("/signout").must(t, 303, "/")
	if got := operator.whoami(); got.ID == annID || got.IsAnonymous {
		t.Errorf("got %+v, want the operator", got)
	}
	if got := ann.whoami().ID; got != annID {
		t.Errorf("Ann became %s", got)
	}
	operator.get("/admin/").must(t, 200, "")
}

// operator is one in a browser: the screen, a search, a user, and Margin as that user.
func operator(t *testing.T, chromium browser.Engine) {
	server := newHost(t, config{admin: boss})
	ann := newBrowser(t, server)
	ann.write("a word of Ann's")
	annID := ann.whoami().ID
	l := &look{tab: newTab(t, chromium, server), name: "operator", views: []browser.View{browser.Views[0], browser.Views[1], browser.Views[4]}, scripts: true, axe: true}
	l.As(l.views[0])
	l.open("/upgrade")
	l.fill(".credentials button", "#email", boss, "#password", secret)
	l.enter(boss)
	l.open("/admin/")
	l.sees("Overview")
	l.TabTo("#find")
	l.Type("#find", annID)
	l.Enter()
	l.sees("Anonymous user", annID)
	l.see("admin-anonymous")
	l.fill("form[action$='/impersonate'] button", "#why", "ticket 7")
	if got := l.path(); got != "/" {
		t.Fatalf("it led to %s", got)
	}
	l.sees("You see this site as the user", annID, "a word of Ann's")
	l.see("impersonated")
	l.fill(".compose button", "#text", "written by another")
	l.sees("You see the site as another user and cannot change anything", "Stop")
	l.see("impersonated-refused")
	l.open("/account/")
	l.see("impersonated-account")
	l.press(".walkin-impersonation button")
	if page := l.Text("body"); strings.Contains(page, "You see this site as") || strings.Contains(page, "written by another") {
		t.Errorf("it is not over: %s", page)
	}
	if got := l.whoami(); strings.Contains(got, annID) || !strings.Contains(got, `"is_anonymous":false`) {
		t.Errorf("whoami says %s, want the operator", got)
	}
	l.open("/admin/users?kind=anonymous")
	// No script of the page could fetch it, by its policy.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, browser.Eval[string](l.Page, `document.querySelector("a[href*='users.csv']").href`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range l.Cookies() {
		r.AddCookie(c)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	file, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	csv := string(file)
	if !strings.Contains(csv, annID) || strings.Contains(csv, boss) {
		t.Errorf("the list as CSV is %s", csv)
	}
	if strings.Contains(ann.get("/").body, "written by another") {
		t.Error("the operator wrote in Ann's name")
	}
}
