package main

import (
	"regexp"
	"testing"
)

// TestStaleTab is a tab that stays open while its user signs out in another: its note
// is filed under no one else, and is not lost.
func TestStaleTab(t *testing.T) {
	server := newServer(t)
	ann := newBrowser(t, server)
	page := ann.get("/").must(t, 200, "")
	field := regexp.MustCompile(`name="walkin_rendered_for" value="([^"]+)"`).FindStringSubmatch(page.body)
	if field == nil {
		t.Fatalf("the form does not say for whom it is: %s", page.body)
	}
	ann.post("/notes", "text", "the first", "walkin_rendered_for", field[1]).must(t, 303, "/")
	ann.post("/signout").must(t, 303, "/")
	ann.get("/").must(t, 200, "")
	ann.post("/notes", "text", "the second", "walkin_rendered_for", field[1]).must(t, 409, "").has(t, "not kept yet", "the second")
	if got := ann.get("/").must(t, 200, "").body; regexp.MustCompile("the (first|second)").MatchString(got) {
		t.Errorf("it was filed under the next user: %s", got)
	}
}
