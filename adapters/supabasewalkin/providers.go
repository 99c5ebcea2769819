package supabasewalkin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// A Provider is one that vouches for its users.
type Provider struct {
	// Issuer is the provider of its identities, as in oidc.Provider.
	Issuer string

	// Handler proves identities by the provider. An *oidc.Handler of credential/oidc
	// will do, whose Config.URL is this endpoint's URL and a slash. It calls the
	// provider by the name that it has in Config.Providers here. The callback to
	// register at the provider is Config.URL, "/callback/" and that name. One of your
	// own must honour two form fields. With link, an identity of another user's is
	// refused, see walkin.ConflictReject. Otherwise who links an identity is signed in to
	// that other user. With existing, no user is made and none becomes permanent, and the
	// refusal has the code no_account. Otherwise Config.NoSignUp holds for all but this
	// provider.
	Handler http.Handler

	// VerifyIDToken proves an identity by an ID token that the client got by itself, as
	// apps on phones do. It checks issuer, audience, signature and expiry. Unless nonce
	// is empty, it also checks that the token's nonce is the SHA-256 of nonce in hex.
	// If nil, such tokens are refused.
	VerifyIDToken func(ctx context.Context, token, nonce string) (walkin.Proof, error)
}

// An authorization is a flow that is on its way through a provider.
type authorization struct {
	visitor
	Provider   string `json:"provider"`
	RedirectTo string `json:"redirect_to"`
	Challenge  string `json:"challenge,omitempty"`
	Browser    string `json:"browser,omitempty"`
	Existing   bool   `json:"existing,omitempty"` // for users that there are, see Config.NoSignUp
}

func authorizationKey(state string) string { return hashed("supabase-state:", state) }

// authorize is GET /authorize, which a browser opens.
func (h *Handler) authorize(c *call) (any, error) {
	to, err := h.begin(c, nil)
	return elsewhere{to: to, status: http.StatusFound}, err
}

// linkIdentity is GET /user/identities/authorize, which a client calls with its user's token.
func (h *Handler) linkIdentity(c *call) (any, error) {
	claims, err := h.user(c)
	if err != nil {
		return nil, err
	}
	if !h.cfg.ManualLinking {
		return nil, errLinking
	}
	if h.cfg.NoSignUp && claims.Anonymous {
		return nil, errNoSignUp // before they go to the provider
	}
	to, err := h.begin(c, &claims)
	if err != nil {
		return nil, err
	}
	if c.URL.Query().Get("skip_http_redirect") != "true" {
		return elsewhere{to: to, status: http.StatusFound}, nil
	}
	return map[string]string{"url": to}, nil
}

// begin returns the URL at the provider.
func (h *Handler) begin(c *call, as *walkin.Claims) (string, error) {
	query := c.URL.Query()
	name := query.Get("provider")
	provider, ok := h.cfg.Providers[name]
	if !ok || provider.Handler == nil {
		return "", fail(http.StatusBadRequest, "validation_failed", "Unsupported provider: provider is not enabled")
	}
	challenge, err := c.challenge()
	if err != nil {
		return "", err
	}
	a := authorization{visitor: visitor{As: as}, Provider: name, Challenge: challenge,
		RedirectTo: h.redirect(query.Get("redirect_to"), challenge != ""), Existing: h.cfg.NoSignUp}
	form := url.Values{"provider": {name}}
	if as != nil {
		form.Set("link", "1") // the user keeps their ID, or is told that the identity is another's
	}
	if a.Existing {
		form.Set("existing", "1") // the handler alone learns who comes back before it makes a user
	}
	_, answer, err := h.through(c, provider.Handler, &a.visitor, inner{
		method: http.MethodPost, target: "/auth/v1/start", kind: "application/x-www-form-urlencoded", body: form.Encode(),
	})
	if err != nil {
		return "", err
	}
	to := answer.header.Get("Location")
	if to == "" { // as FormHandler answers clients
		var led struct {
			Location string `json:"location"`
		}
		_ = json.Unmarshal(answer.body, &led)
		to = led.Location
	}
	u, err := url.Parse(to)
	if err != nil || u.Query().Get("state") == "" {
		return "", errors.New("walkin: supabasewalkin: the handler of provider " + name + " led nowhere")
	}
	if challenge == "" {
		a.Browser = h.bind(c)
	}
	return to, h.put(c.Context(), authorizationKey(u.Query().Get("state")), as, a, time.Now().Add(15*time.Minute))
}

// callback is GET /callback/{provider}, where the provider sends the browser.
func (h *Handler) callback(c *call) (any, error) {
	query := c.URL.Query()
	var a authorization
	err := h.try(c.Context(), authorizationKey(query.Get("state")), &a)
	if errors.Is(err, store.ErrNotFound) || err == nil && a.Provider != c.PathValue("provider") {
		// A person sees this, in a browser that has been too long at the provider.
		return h.refusedThere(c, authorization{RedirectTo: h.cfg.SiteURL}, fail(http.StatusBadRequest, "bad_oauth_state", "OAuth state not found or expired")), nil
	} else if err != nil {
		return nil, err
	}
	f := flow{Challenge: a.Challenge, State: query.Get("state"), Query: c.URL.RawQuery}
	if query.Get("error") != "" {
		return h.refusedThere(c, a, fail(http.StatusBadRequest, "provider_email_needs_verification", "The provider refused")), nil
	}
	if a.Challenge != "" {
		// Nothing is applied here: the browser that comes here need not be the one that
		// began. Only the client with the verifier is.
		code, err := h.keepFlow(c, f)
		if err != nil {
			return nil, err
		}
		return elsewhere{to: withQuery(a.RedirectTo, url.Values{"code": {code}})}, nil
	}
	if !h.isBound(c, a.Browser) {
		return h.refusedThere(c, a, fail(http.StatusForbidden, "bad_oauth_state", "This was not started in this browser; use the PKCE flow where the page is of another origin")), nil
	}
	answer, err := h.completeProvider(c, f)
	if err != nil {
		return h.refusedThere(c, a, err), nil
	}
	return h.withTokens(a.RedirectTo, answer, ""), nil
}

// posted is POST /callback/{provider}, for a provider that answers with a form. The
// browser then fetches the answer with a request of its own, which brings its cookies.
func (h *Handler) posted(w http.ResponseWriter, r *http.Request) {
	c := &call{Request: r, w: w}
	name := r.PathValue("provider")
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	provider, ok := h.cfg.Providers[name]
	if err := r.ParseForm(); err != nil || !ok || provider.Handler == nil {
		h.refuse(c, fail(http.StatusBadRequest, "bad_oauth_callback", "OAuth callback could not be read"))
		return
	}
	_, answer, err := h.through(c, provider.Handler, &visitor{}, inner{
		method: http.MethodPost, target: "/auth/v1/callback/" + name, kind: "application/x-www-form-urlencoded", body: r.PostForm.Encode(),
	})
	if err != nil {
		h.refuse(c, err)
		return
	}
	to, err := url.Parse(answer.header.Get("Location"))
	if err != nil {
		h.refuse(c, fail(http.StatusBadRequest, "bad_oauth_callback", "OAuth callback could not be read"))
		return
	}
	query := url.Values{"posted": {to.Query().Get("posted")}, "state": {r.PostForm.Get("state")}}
	http.Redirect(w, r, h.cfg.URL+"/callback/"+url.PathEscape(name)+"?"+query.Encode(), http.StatusSeeOther)
}

// completeProvider has the handler prove by the provider's answer, once.
func (h *Handler) completeProvider(c *call, f flow) (any, error) {
	var a authorization
	err := h.take(c.Context(), authorizationKey(f.State), &a)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errFlow
	} else if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(f.Query)
	if err != nil {
		return nil, fail(http.StatusBadRequest, "bad_oauth_callback", "OAuth callback could not be read")
	}
	if query.Has("posted") {
		query.Del("state")
	}
	if h.cfg.NoSignUp && !a.Existing && (a.As == nil || a.As.Anonymous) {
		// It was begun before the setting changed, so the handler would make a user. Fails
		// closed for existing ones too, who begin again.
		return nil, errNoSignUp
	}
	claims, _, err := h.through(c, h.cfg.Providers[a.Provider].Handler, &a.visitor, inner{
		method: http.MethodGet, target: "/auth/v1/callback/" + a.Provider + "?" + query.Encode(),
	})
	if a.As != nil && hasEnded(err) {
		return nil, errFlow // who began has signed out since; the caller's own session may be another
	} else if err != nil {
		return nil, err
	}
	return h.openedElsewhere(c, claims)
}

// openedElsewhere answers with the session that another handler's Continue has opened.
// A banned user's is ended again.
func (h *Handler) openedElsewhere(c *call, claims walkin.Claims) (any, error) {
	err := h.store.InTx(c.Context(), func(ctx context.Context) error {
		if _, err := h.store.LockUser(ctx, claims.UserID); err != nil {
			return err
		}
		return h.allowed(nil)(ctx, walkin.Change{UserID: claims.UserID, Outcome: walkin.SignedIn})
	})
	if err != nil {
		_ = h.store.DeleteSession(c.Context(), claims.UserID, claims.SessionID)
		return nil, err
	}
	return h.opened(c, claims)
}

// refusedThere leads the browser back with the error in the query and in the fragment,
// since clients of both flows look.
func (h *Handler) refusedThere(c *call, a authorization, err error) elsewhere {
	to := h.failed(c, a.RedirectTo, err).to
	u, parseErr := url.Parse(to)
	if parseErr != nil {
		return elsewhere{to: to}
	}
	values, _ := url.ParseQuery(u.Fragment)
	values.Del("sb")
	return elsewhere{to: withQuery(to, values)}
}

// signInByIDToken is the grant of a client that got an ID token by itself.
func (h *Handler) signInByIDToken(c *call) (any, error) {
	name, token := c.text("provider"), c.text("id_token")
	if name == "" || token == "" {
		return nil, fail(http.StatusBadRequest, "validation_failed", "provider and id_token required")
	}
	provider, ok := h.cfg.Providers[name]
	if !ok || provider.VerifyIDToken == nil {
		return nil, fail(http.StatusBadRequest, "provider_disabled", "Provider (issuer) is not enabled")
	}
	var linking bool
	if err := c.field("link_identity", &linking); err != nil {
		return nil, err
	}
	var as walkin.Claims
	if linking {
		claims, err := h.user(c)
		if err != nil {
			return nil, err
		}
		if as = claims; !h.cfg.ManualLinking {
			return nil, errLinking
		}
	}
	proof, err := provider.VerifyIDToken(c.Context(), token, c.text("nonce"))
	if err != nil {
		return nil, &failure{status: http.StatusBadRequest, code: "validation_failed", message: "Bad ID token", cause: err}
	}
	if proof.Provider != provider.Issuer {
		return nil, errors.New("walkin: supabasewalkin: VerifyIDToken of provider " + name + " proved an identity of another issuer")
	}
	proof.Applied = h.allowed(nil)
	claims, _, err := h.prove(c, as, proof)
	if err != nil {
		return nil, err
	}
	return h.opened(c, claims)
}

// settings is GET /settings.
func (h *Handler) settings(*call) (any, error) {
	external := map[string]bool{"anonymous_users": !h.cfg.NoAnonymous, byEmail: h.cfg.Send != nil || h.cfg.Autoconfirm, byPhone: h.cfg.SendSMS != nil}
	for _, name := range []string{"apple", "azure", "bitbucket", "discord", "facebook", "figma", "fly", "github", "gitlab", "google", "kakao",
		"keycloak", "linkedin", "linkedin_oidc", "notion", "slack", "slack_oidc", "snapchat", "spotify", "twitch", "twitter", "workos", "zoom"} {
		external[name] = false
	}
	for name := range h.cfg.Providers {
		external[name] = true
	}
	return map[string]any{
		"external": external, "disable_signup": h.cfg.NoSignUp, "mailer_autoconfirm": h.cfg.Autoconfirm, "phone_autoconfirm": h.cfg.Autoconfirm,
		"sms_provider": "", "saml_enabled": false, "passkeys_enabled": h.cfg.Passkeys.Handler != nil,
	}, nil
}

// health is GET /health, with the name that clients look for.
func (h *Handler) health(*call) (any, error) {
	return map[string]string{"name": "GoTrue", "version": "walkin", "description": "walkin speaks the API of Supabase Auth"}, nil
}

// jsonWebKeys is GET /.well-known/jwks.json.
func (h *Handler) jsonWebKeys(c *call) (any, error) {
	c.w.Header().Set("Cache-Control", "public, max-age=600")
	return json.RawMessage(h.jwks), nil
}
