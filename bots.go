package walkin

import (
	"net/http"

	"github.com/walkin-go/walkin/internal/bot"
)

// IsBot reports whether the request seems to come from something other than a visitor's
// browser. It is the default of Config.NewUsers.IsBot, and exported so that an app's
// own function can call it. It believes what the request says of itself: a bot that
// passes for a browser gets what a browser gets. So the lists need not be complete. It
// is enough that crawlers, probes and previews, which are most of a site's bots, create
// no users.
//
// Crawlers are bots with every method. HTTP libraries and clients that do not look like
// a browser are bots only where they read: one that posts is an API client, and gets a
// user where the app calls [Middleware.Ensure]. A request without a User-Agent is a
// bot.
//
// It looks for names only, and only in the first 512 bytes. That takes about a
// microsecond for a browser, a few for the longest header.
func IsBot(r *http.Request) bool { return bot.Is(r) }
