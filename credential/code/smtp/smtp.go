// Package smtp sends the codes of credential/code as mail, through the relay of the
// app's provider:
//
//	sender, err := smtp.New(smtp.Config{Host: "smtp.example.net", Username: "margin", Password: password,
//		From: "Margin <hello@margin.example>", Site: "Margin"})
//	…
//	codes, err := code.New(wk, code.Config{Sender: sender, …})
//
// A mail is text and HTML, in plain words, with no picture, no tracking and no link but
// that of the code. It travels encrypted or not at all. Send waits for the relay to
// take it, until its context ends. To retry, or to answer visitors faster, put a queue
// of your own in between.
//
// The package does not know what happens to a mail after the relay took it, and sends
// nothing to phones.
package smtp

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/walkin-go/walkin/credential/code"
	"github.com/wneessen/go-mail"
)

// Security is how the connection to the relay is protected.
type Security uint8

const (
	// STARTTLS begins unencrypted and sends nothing before it is encrypted; a relay
	// that does not offer it gets no mail. Port 587.
	STARTTLS Security = iota

	// ImplicitTLS is encrypted from the start. Port 465.
	ImplicitTLS

	// InsecurePlaintext encrypts nothing: an attacker on the way reads the codes and
	// signs in. For a relay on this very machine. Port 25, no password.
	InsecurePlaintext
)

// Config says by whom mail is sent. Host, From and Site are required.
type Config struct {
	// Host is the name of the relay; its certificate must be for it. Port is
	// the one of Security when zero.
	Host string
	Port int

	// Username and Password are the app's at the relay; empty sends none.
	Username, Password string

	// From is the sender's address, with a name or without: "Margin
	// <hello@margin.example>". Replies and bounces go there.
	From string

	// Site is the name of the app; it is in the subject and the text.
	Site string

	// Security is STARTTLS when zero.
	Security Security

	// TLSConfig is for relays with a certificate of their own making; nil
	// trusts the system's roots, for Host, from TLS 1.2 on.
	TLSConfig *tls.Config

	// Hello is the name that the app has for the relay; empty is the domain
	// of From.
	Hello string

	// Compose writes a mail in other words: the context has the values of the
	// visitor's request. Nil is code.Compose, in the language of the message.
	Compose func(ctx context.Context, m code.Message) (Mail, error)
}

// A Mail is what [Config.Compose] writes. Both bodies say the same; HTML may be
// empty.
type Mail struct {
	Subject string // one line
	Text    string
	HTML    string
}

// A Sender sends mail. Make one with [New]. Its methods may be called
// concurrently; each mail has a connection of its own.
type Sender struct {
	cfg    Config
	from   *netmail.Address
	domain string // of from
}

var _ code.Sender = (*Sender)(nil)

// New returns a Sender, or an error that lists everything wrong in cfg. It connects to
// nothing.
func New(cfg Config) (*Sender, error) {
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: smtp: "+format, args...))
	}
	if cfg.Host == "" || strings.ContainsAny(cfg.Host, "/: ") && net.ParseIP(cfg.Host) == nil {
		mistake("Config.Host %q is not a host like smtp.example.net", cfg.Host)
	}
	from, err := netmail.ParseAddress(cfg.From)
	if err != nil {
		mistake("Config.From is not an address like Margin <hello@margin.example>")
		from = &netmail.Address{}
	}
	if cfg.Site == "" || !isLine(cfg.Site) {
		mistake("Config.Site %q is not the name of a site", cfg.Site)
	}
	if cfg.Security > InsecurePlaintext {
		mistake("Config.Security is %d, which is none of the constants", cfg.Security)
	} else {
		cfg.Port = cmp.Or(cfg.Port, []int{587, 465, 25}[cfg.Security])
	}
	if cfg.Port < 0 || cfg.Port > 65535 {
		mistake("Config.Port is %d, which is no port", cfg.Port)
	}
	if cfg.Username == "" != (cfg.Password == "") {
		mistake("Config.Username and Password go together")
	}
	if cfg.Security == InsecurePlaintext && cfg.Username != "" {
		mistake("Config.Password would travel in the clear with InsecurePlaintext")
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	if cfg.TLSConfig == nil {
		cfg.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	cfg.TLSConfig = cfg.TLSConfig.Clone()
	cfg.TLSConfig.ServerName = cmp.Or(cfg.TLSConfig.ServerName, cfg.Host)
	domain := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	cfg.Hello = cmp.Or(cfg.Hello, domain)
	if cfg.Compose == nil {
		cfg.Compose = composer(cfg.Site)
	}
	return &Sender{cfg: cfg, from: from, domain: domain}, nil
}

// Send implements [code.Sender]. It returns when the relay has taken the mail. Its
// errors quote neither the message nor anything that the relay said, at any step: that
// may quote the address.
func (s *Sender) Send(ctx context.Context, m code.Message) error {
	if m.Kind != code.Email {
		return errors.New("walkin: smtp: this is no message for an e-mail address")
	}
	written, err := s.cfg.Compose(ctx, m)
	if err != nil {
		return fmt.Errorf("walkin: smtp: Config.Compose: %w", err)
	}
	return s.Deliver(ctx, m.To, written.Subject, written.Text, written.HTML)
}

// Deliver sends any other mail, such as the notices of package pages, as Send does. HTML
// may be empty.
func (s *Sender) Deliver(ctx context.Context, to, subject, text, html string) error {
	message, err := s.message(to, Mail{Subject: subject, Text: text, HTML: html})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	sent := func() bool { return false } // that the mail is out: ctx no longer ends the connection
	var connection net.Conn
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		connection = &talk{Conn: raw, left: maxTalk}
		// go-mail looks at the context while it dials, and later only at a
		// deadline that it moves with each step, and leaves open what failed.
		// Closing ends every wait, and happens in any case.
		sent = context.AfterFunc(ctx, func() { _ = raw.Close() })
		if s.cfg.Security != ImplicitTLS {
			return connection, nil
		}
		encrypted := tls.Client(connection, s.cfg.TLSConfig)
		if err := encrypted.HandshakeContext(dialing); err != nil {
			return nil, err
		}
		return encrypted, nil
	}
	client, err := mail.NewClient(s.cfg.Host, s.options(dial)...)
	if err != nil {
		return fmt.Errorf("walkin: smtp: %w", err)
	}
	relay, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return failure(ctx, err)
	}
	if err := client.SendWithSMTPClient(relay, message); err != nil {
		return failure(ctx, err)
	}
	// The relay has the mail, however it parts. There is nothing left to wait for.
	if sent() {
		go func() {
			end := time.AfterFunc(parting, func() { _ = connection.Close() })
			defer end.Stop()
			_ = client.CloseWithSMTPClient(relay)
			_ = connection.Close()
		}()
	}
	return nil
}

const (
	longest = time.Minute     // that a mail may take when the context says nothing
	parting = 2 * time.Second // that a relay may take to say goodbye
	maxTalk = 1 << 20         // bytes that a relay may say; a certificate and some lines are a few KB
)

// talk ends a relay that talks without end.
type talk struct {
	net.Conn
	left int
}

var errTalk = errors.New("the relay talks without end")

func (t *talk) Read(b []byte) (int, error) {
	if t.left <= 0 {
		return 0, errTalk
	}
	n, err := t.Conn.Read(b[:min(len(b), t.left)])
	t.left -= n
	return n, err
}

func (s *Sender) options(dial mail.DialContextFunc) []mail.Option {
	options := []mail.Option{
		mail.WithPort(s.cfg.Port),
		mail.WithHELO(s.cfg.Hello),
		mail.WithTimeout(longest),
		mail.WithTLSConfig(s.cfg.TLSConfig),
		mail.WithDialContextFunc(dial),
		mail.WithoutNoop(),
		mail.WithoutRset(), // one mail for each connection
	}
	switch s.cfg.Security {
	case ImplicitTLS:
		options = append(options, mail.WithSSL())
	case InsecurePlaintext:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.cfg.Username != "" {
		options = append(options, mail.WithUsername(s.cfg.Username), mail.WithPassword(s.cfg.Password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	return options
}

// message returns a mail as it goes out.
func (s *Sender) message(address string, written Mail) (*mail.Msg, error) {
	// Whatever it is called with, it is one mailbox, and no second line.
	to, err := netmail.ParseAddress(address)
	if err != nil || to.Address != address || to.Name != "" || !isLine(address) {
		return nil, errors.New("walkin: smtp: this is not the address of one mailbox")
	}
	if !isLine(written.Subject) || written.Subject == "" || written.Text == "" {
		return nil, errors.New("walkin: smtp: a mail needs a subject of one line, and a text")
	}
	message := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(message.FromFormat(s.from.Name, s.from.Address), message.To(address)); err != nil {
		return nil, errors.New("walkin: smtp: an address does not fit into a mail")
	}
	message.Subject(written.Subject)
	message.SetDate()
	// Of our own domain: go-mail's has the machine's name.
	message.SetMessageIDWithValue(rand.Text() + "@" + s.domain)
	// RFC 3834: no holiday notice answers this.
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetBodyString(mail.TypeTextPlain, written.Text)
	if written.HTML != "" {
		message.AddAlternativeString(mail.TypeTextHTML, written.HTML)
	}
	return message, nil
}

// isLine reports whether s has nothing in it that breaks a line or hides.
func isLine(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsGraphic(c) })
}

// failure says what failed, in our own words. Errors of go-mail may quote the relay,
// its certificate or its address, so none of them is wrapped, except errors of the
// network that have no foreign text.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("walkin: smtp: the relay took too long: %w", context.Cause(ctx))
	}
	if refused, ok := errors.AsType[*mail.SendError](err); ok {
		status := refused.EnhancedStatusCode()
		if status == "" {
			status = strconv.Itoa(refused.ErrorCode())
		}
		return fmt.Errorf("walkin: smtp: the relay refused the mail with %s while %v", status, refused.Reason)
	}
	if refused, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Errorf("walkin: smtp: the relay answered %d before the mail", refused.Code)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("walkin: smtp: the relay's certificate is not one of Config.Host that can be trusted")
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New("walkin: smtp: the relay's name was not found")
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("walkin: smtp: the relay cannot be reached: %w", number)
	}
	switch {
	case errors.Is(err, errTalk):
		return fmt.Errorf("walkin: smtp: %w", errTalk)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("walkin: smtp: the relay closed the connection")
	case strings.HasPrefix(err.Error(), "STARTTLS mode set to"): // go-mail's own words
		return errors.New("walkin: smtp: the relay does not support STARTTLS")
	}
	return errors.New("walkin: smtp: the relay did not answer as it should")
}
