package walkin

import (
	"net/http"

	"github.com/walkin-go/walkin/internal/bot"
)

// IsBot reports whether the request looks like it comes from something else
// than a person's browser. It is the default of Config.NewUsers.IsBot, exported for one
// that knows more. It believes what the request says of itself: a
// robot that passes for a browser gets what a browser gets. So the lists need
// not be complete; it is enough that crawlers, probes and previews, which are
// most of a site's robots, cost no users.
//
// Crawlers are robots with every method. HTTP libraries and whatever is not
// shaped like a browser are robots only where they read: a program that posts
// is at work for somebody, and gets a user where the app calls [Middleware.Ensure].
// Without a User-Agent there is nobody to give the benefit of the doubt.
//
// Only names are looked for, and only in the first 512 bytes: about a
// microsecond for a browser, a few for the longest header.
func IsBot(r *http.Request) bool { return bot.Is(r) }
