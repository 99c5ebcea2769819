package challenge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Captcha is a challenge of another service: a [Turnstile] or an [HCaptcha].
type Captcha interface {
	check() error
	widget() widget

	// verify asks whether an answer is good. An error means that the service could not
	// say.
	verify(ctx context.Context, answer string) (bool, error)
}

// A widget is what the page loads.
type widget struct {
	Script, Class, SiteKey, Action string
	origin                         string // of all that it loads
}

// A Turnstile is Cloudflare's captcha.
type Turnstile struct {
	SiteKey, Secret string // of the site, from their dashboard

	// Hostname is where the page must have been solved; required.
	Hostname string

	// Client calls the service; nil is a client of the package's own. Verify is the URL
	// that it calls; empty is the service's own.
	Client *http.Client
	Verify string
}

// An HCaptcha is hCaptcha's captcha. Its fields are those of a [Turnstile].
type HCaptcha Turnstile

const action = "walkin" // names our use of the site's key

func (t Turnstile) check() error { return check(t) }
func (t HCaptcha) check() error  { return check(Turnstile(t)) }

func check(t Turnstile) error {
	if t.SiteKey == "" || t.Secret == "" || t.Hostname == "" {
		return errors.New("SiteKey, Secret and Hostname are required")
	}
	return nil
}

func (t Turnstile) widget() widget {
	return widget{"https://challenges.cloudflare.com/turnstile/v0/api.js", "cf-turnstile", t.SiteKey, action, "https://challenges.cloudflare.com"}
}

func (t HCaptcha) widget() widget {
	return widget{"https://js.hcaptcha.com/1/api.js", "h-captcha", t.SiteKey, "", "https://hcaptcha.com https://*.hcaptcha.com"}
}

func (t Turnstile) verify(ctx context.Context, answer string) (bool, error) {
	got, err := ask(ctx, t, "https://challenges.cloudflare.com/turnstile/v0/siteverify", answer)
	return err == nil && got.Success && got.Hostname == t.Hostname && got.Action == action, err
}

func (t HCaptcha) verify(ctx context.Context, answer string) (bool, error) {
	got, err := ask(ctx, Turnstile(t), "https://api.hcaptcha.com/siteverify", answer)
	return err == nil && got.Success && got.Hostname == t.Hostname, err
}

type verdict struct {
	Success          bool
	Hostname, Action string
	Codes            []string `json:"error-codes"`
}

// ask sends the one question that both have in common. The visitor's address is not
// sent along: it is optional, and the visitor's own business.
func ask(ctx context.Context, t Turnstile, address, answer string) (v verdict, err error) {
	if answer == "" || len(answer) > 4096 {
		return verdict{}, nil
	}
	client := t.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	if t.Verify != "" {
		address = t.Verify
	}
	form := url.Values{"secret": {t.Secret}, "response": {answer}, "sitekey": {t.SiteKey}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return verdict{}, errors.New("walkin: challenge: the address of the captcha's service is none")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := client.Do(r)
	if err != nil {
		return verdict{}, fmt.Errorf("walkin: challenge: asking the captcha's service: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return verdict{}, fmt.Errorf("walkin: challenge: the captcha's service answered %d", response.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&v); err != nil {
		return verdict{}, errors.New("walkin: challenge: the captcha's service sent no JSON")
	}
	for _, code := range v.Codes {
		if strings.Contains(code, "secret") || strings.Contains(code, "sitekey") {
			// The operator's error, which otherwise looks like a bot.
			return verdict{}, fmt.Errorf("walkin: challenge: the captcha's service says %.40q", code)
		}
	}
	return v, nil
}
