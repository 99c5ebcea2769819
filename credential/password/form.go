package password

import (
	"net/http"

	"github.com/walkin-go/walkin/credential/internal/form"
)

// read returns the name and the password of a form, the name in its one
// spelling and the password as it was typed. Only the body counts: a password
// in a URL ends up in logs and histories.
func (p *Password) read(r *http.Request) (name, password string, err error) {
	if err := form.Parse(r); err != nil {
		return "", "", err
	}
	if name, err = form.Field(r, p.nameField); err != nil {
		return "", "", err
	}
	if password, err = form.Field(r, p.passwordField); err != nil {
		return "", "", err
	}
	return p.clean(name, password)
}

// clean returns a name in its one spelling, and the password as it was typed.
func (p *Password) clean(name, password string) (string, string, error) {
	name, err := p.normalise(name)
	if err != nil {
		return "", "", err
	}
	return name, password, checkTyped(password)
}
