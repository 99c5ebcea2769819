package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// GitHub returns the provider github, for an OAuth app registered there. The
// subject is the account's number, which stays when its name changes. It asks
// for the addresses, and Email is the primary one; set VerifiesEmail to believe
// that GitHub has verified it.
func GitHub(clientID, clientSecret string) Provider {
	return Provider{
		Name: "github", Title: "GitHub", Issuer: "https://github.com", ClientID: clientID, ClientSecret: clientSecret,
		Scopes:   []string{"user:email"},
		AuthURL:  "https://github.com/login/oauth/authorize",
		TokenURL: "https://github.com/login/oauth/access_token",
		Fetch:    fetchGitHub,
	}
}

func fetchGitHub(ctx context.Context, client *http.Client) (Profile, error) {
	var user struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
		Name  string `json:"name"`
	}
	if err := getGitHub(ctx, client, "/user", &user); err != nil {
		return Profile{}, err
	}
	if user.ID <= 0 {
		return Profile{}, errors.New("walkin: oidc: GitHub named no account")
	}
	var addresses []struct {
		Email             string `json:"email"`
		Primary, Verified bool
	}
	if err := getGitHub(ctx, client, "/user/emails", &addresses); err != nil {
		return Profile{}, err
	}
	profile := Profile{Subject: strconv.FormatInt(user.ID, 10), Name: user.Name}
	if profile.Name == "" {
		profile.Name = user.Login
	}
	for _, a := range addresses {
		if a.Primary && a.Verified {
			profile.Email = a.Email
		} else if a.Primary {
			profile.UnverifiedEmail = a.Email
		}
	}
	return profile, nil
}

func getGitHub(ctx context.Context, client *http.Client, path string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.github.com"+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	response, err := client.Do(r)
	if err != nil {
		return describe(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("walkin: oidc: GitHub answered %d for %s", response.StatusCode, path)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("walkin: oidc: GitHub's answer for %s is malformed", path)
	}
	return nil
}
