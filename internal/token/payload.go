package token

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// A payload is the JSON of the claims, in the shape of the field.
type payload struct {
	Issuer    string          `json:"iss"`
	Subject   uuid.UUID       `json:"sub"`
	Audience  string          `json:"aud"`
	ExpiresAt int64           `json:"exp"`
	IssuedAt  int64           `json:"iat"`
	SessionID uuid.UUID       `json:"session_id"`
	Role      string          `json:"role"`
	Anonymous *bool           `json:"is_anonymous"` // a pointer, since a missing flag is not "false"
	AMR       []proven        `json:"amr"`
	Prov      bool            `json:"prov,omitempty"`
	Database  string          `json:"db,omitempty"`
	App       json.RawMessage `json:"app,omitempty"`
	Actor     *Actor          `json:"act,omitempty"`

	// What parse makes Anonymous and AMR point to.
	flag bool
	one  [1]proven
}

type proven struct {
	Method string `json:"method"`
	At     int64  `json:"timestamp"`
}

// Writing and reading JSON would be half of the cost of a new visitor, and of a token
// that was not seen before. walkin issues every token that it accepts, so nearly all
// are spelt in one way: what encoding/json makes of a payload. appendPayload writes
// that spelling and parse reads it. encoding/json reads any other. A fuzz test compares
// both with encoding/json.

// appendPayload writes the payload of c.
func (r *Keyring) appendPayload(b []byte, c Claims, audience string) ([]byte, error) {
	method, at := c.Method, c.ProvenAt
	if c.Anonymous {
		method, at = "anonymous", c.IssuedAt
	}
	b = append(b, r.start...)
	b = appendUUID(b, c.UserID)
	b = append(b, `","aud":`...)
	b = appendQuoted(b, audience)
	b = append(b, `,"exp":`...)
	b = strconv.AppendInt(b, c.ExpiresAt.Unix(), 10)
	b = append(b, `,"iat":`...)
	b = strconv.AppendInt(b, c.IssuedAt.Unix(), 10)
	b = append(b, `,"session_id":"`...)
	b = appendUUID(b, c.SessionID)
	b = append(b, `","role":"`+roleClaim+`","is_anonymous":`...)
	b = strconv.AppendBool(b, c.Anonymous)
	b = append(b, `,"amr":[{"method":`...)
	b = appendQuoted(b, method)
	b = append(b, `,"timestamp":`...)
	b = strconv.AppendInt(b, at.Unix(), 10)
	b = append(b, `}]`...)
	if c.Provisional {
		b = append(b, `,"prov":true`...)
	}
	if c.Database != "" {
		b = append(b, `,"db":`...)
		b = appendQuoted(b, c.Database)
	}
	if c.App != "" {
		if !json.Valid([]byte(c.App)) {
			return nil, errors.New("walkin: writing a token: Claims.App is not JSON")
		}
		b = append(b, `,"app":`...)
		b = append(b, c.App...)
	}
	return append(b, '}'), nil
}

// parse reads a payload that is spelt as appendPayload does, with our issuer and
// audience, and reports whether it is. If not, p is of no use.
func (r *Keyring) parse(p *payload, text []byte) bool {
	p.Issuer, p.Audience, p.Role = r.issuer, r.audience, roleClaim
	p.Anonymous, p.AMR = &p.flag, p.one[:]
	s := spelling(text)
	ok := s.cut(r.start) && s.uuid(&p.Subject) && s.cut(r.middle) && s.number(&p.ExpiresAt) &&
		s.cut(`,"iat":`) && s.number(&p.IssuedAt) && s.cut(`,"session_id":"`) && s.uuid(&p.SessionID) &&
		s.cut(`","role":"`+roleClaim+`","is_anonymous":`)
	if !ok {
		return false
	}
	p.flag = s.cut(`true`)
	ok = (p.flag || s.cut(`false`)) &&
		s.cut(`,"amr":[{"method":"`) && s.word(&p.one[0].Method) && s.cut(`,"timestamp":`) && s.number(&p.one[0].At) && s.cut(`}]`)
	p.Prov = ok && s.cut(`,"prov":true`)
	if ok && s.cut(`,"db":"`) {
		ok = s.word(&p.Database)
	}
	if ok && s.cut(`,"app":`) {
		// One object, and not a word or a blank around it.
		app, found := strings.CutSuffix(string(s), `}`)
		p.App = json.RawMessage(app)
		return found && strings.HasPrefix(app, `{`) && strings.HasSuffix(app, `}`) && json.Valid(p.App)
	}
	return ok && string(s) == `}`
}

// unmarshal reads a payload in any spelling.
func unmarshal(text []byte) (*payload, error) {
	p := new(payload)
	err := json.Unmarshal(text, p)
	return p, err
}

// A spelling is what is left to read of a payload.
type spelling []byte

func (s *spelling) cut(prefix string) bool {
	if len(*s) < len(prefix) || string((*s)[:len(prefix)]) != prefix {
		return false
	}
	*s = (*s)[len(prefix):]
	return true
}

// uuid reads one of 36 letters.
func (s *spelling) uuid(id *uuid.UUID) bool {
	if len(*s) < 36 {
		return false
	}
	var err error
	*id, err = uuid.ParseBytes((*s)[:36])
	*s = (*s)[36:]
	return err == nil
}

// number reads one above zero that cannot overflow.
func (s *spelling) number(n *int64) bool {
	i := 0
	for ; i < len(*s) && '0' <= (*s)[i] && (*s)[i] <= '9'; i++ {
		*n = *n*10 + int64((*s)[i]-'0')
	}
	if i == 0 || i > 18 || (*s)[0] == '0' {
		return false
	}
	*s = (*s)[i:]
	return true
}

// word reads what appendQuoted need not escape, and the quote behind it.
func (s *spelling) word(w *string) bool {
	for i, c := range *s {
		if c == '"' {
			*w, *s = string((*s)[:i]), (*s)[i+1:]
			return true
		}
		if !isPlain(c) {
			return false
		}
	}
	return false
}

func appendUUID(b []byte, id uuid.UUID) []byte {
	b = hex.AppendEncode(b, id[:4])
	for _, part := range [...][]byte{id[4:6], id[6:8], id[8:10], id[10:]} {
		b = append(b, '-')
		b = hex.AppendEncode(b, part)
	}
	return b
}

// appendQuoted writes s as encoding/json would.
func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if !isPlain(s[i]) {
			quoted, _ := json.Marshal(s) // a string never fails
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// isPlain reports whether JSON, as encoding/json writes it, has c as it is.
func isPlain(c byte) bool {
	return ' ' <= c && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}
