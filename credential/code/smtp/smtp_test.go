package smtp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	netmail "net/mail"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/code/smtp"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

const ann = "ann@example.com"

var message = code.Message{To: ann, Code: "012345", Link: "https://margin.example/code?code=012345", ExpiresIn: 10 * time.Minute}

// A relay is a real SMTP server that keeps what it gets.
type relay struct {
	server *gosmtp.Server
	addr   *net.TCPAddr
	roots  *x509.CertPool

	refuse   func(command string) error // nil takes everything
	username string                     // empty wants none

	authFails string // what it says to a wrong password; empty is the server's own

	mu    sync.Mutex
	mails []received
}

type received struct {
	from, to string
	hello    string
	tls      bool
	data     []byte
}

// newRelay starts a relay: without TLS, with STARTTLS, or with TLS from the start.
func newRelay(t *testing.T, security smtp.Security, change func(*relay)) *relay {
	t.Helper()
	https := httptest.NewTLSServer(nil) // for its certificate, of 127.0.0.1
	t.Cleanup(https.Close)
	r := &relay{roots: x509.NewCertPool()}
	r.roots.AddCert(https.Certificate())
	r.server = gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		return &session{relay: r, conn: c}, nil
	}))
	r.server.Domain, r.server.ErrorLog = "relay.example", log.New(io.Discard, "", 0)
	r.server.ReadTimeout, r.server.WriteTimeout = time.Minute, time.Minute
	if change != nil {
		change(r)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = listener.Addr().(*net.TCPAddr)
	certificate := &tls.Config{Certificates: https.TLS.Certificates}
	switch security {
	case smtp.STARTTLS:
		r.server.TLSConfig = certificate
	case smtp.ImplicitTLS:
		listener = tls.NewListener(listener, certificate)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = listener.Close() // the server does not know it before Serve does
		<-done
		_ = r.server.Close()
	})
	return r
}

func (r *relay) config(security smtp.Security) smtp.Config {
	return smtp.Config{Host: "127.0.0.1", Port: r.addr.Port, From: "Margin <hello@margin.example>", Site: "Margin",
		Security: security, TLSConfig: &tls.Config{RootCAs: r.roots}}
}

func (r *relay) received() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mails
}

type session struct {
	relay *relay
	conn  *gosmtp.Conn
	mail  received
	known bool
}

func (s *session) ask(command string) error {
	if s.relay.refuse == nil {
		return nil
	}
	return s.relay.refuse(command)
}

func (s *session) AuthMechanisms() []string {
	if s.relay.username == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if s.known = username == s.relay.username && password == "secret of "+username; !s.known && s.relay.authFails != "" {
			return &gosmtp.SMTPError{Code: 535, EnhancedCode: gosmtp.EnhancedCode{5, 7, 8}, Message: s.relay.authFails}
		} else if !s.known {
			return gosmtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *gosmtp.MailOptions) error {
	if s.relay.username != "" && !s.known {
		return gosmtp.ErrAuthRequired
	}
	_, encrypted := s.conn.TLSConnectionState()
	s.mail = received{from: from, hello: s.conn.Hostname(), tls: encrypted}
	return s.ask("MAIL")
}

func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	s.mail.to += to
	return s.ask("RCPT")
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mail.data = data
	if err := s.ask("DATA"); err != nil {
		return err
	}
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.relay.mails = append(s.relay.mails, s.mail)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func newSender(t *testing.T, cfg smtp.Config) *smtp.Sender {
	t.Helper()
	sender, err := smtp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

// parts returns the header of a mail, and its bodies by type.
func parts(t *testing.T, data []byte) (netmail.Header, map[string]string) {
	t.Helper()
	parsed, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("got type %s, %v", kind, err)
	}
	bodies := map[string]string{}
	for r := multipart.NewReader(parsed.Body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parsed.Header, bodies
		} else if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		bodies[part.Header.Get("Content-Type")] = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
}

func TestMail(t *testing.T) {
	for _, tt := range []struct {
		name     string
		security smtp.Security
		username string
	}{
		{"STARTTLS", smtp.STARTTLS, ""},
		{"STARTTLS and a password", smtp.STARTTLS, "margin"},
		{"TLS and a password", smtp.ImplicitTLS, "margin"},
		{"in the clear", smtp.InsecurePlaintext, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRelay(t, tt.security, func(r *relay) { r.username = tt.username })
			cfg := r.config(tt.security)
			if tt.username != "" {
				cfg.Username, cfg.Password = tt.username, "secret of "+tt.username
			}
			sender := newSender(t, cfg)
			owned := message
			owned.Owned, owned.Link = true, ""
			for _, m := range []code.Message{message, owned} {
				if err := sender.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			mails := r.received()
			if len(mails) != 2 {
				t.Fatalf("%d mails arrived", len(mails))
			}
			got := mails[0]
			if got.from != "hello@margin.example" || got.to != ann || got.hello != "margin.example" || got.tls != (tt.security != smtp.InsecurePlaintext) {
				t.Errorf("got from %s to %s, hello %s, TLS %v", got.from, got.to, got.hello, got.tls)
			}
			header, bodies := parts(t, got.data)
			for name, want := range map[string]string{
				"From": `"Margin" <hello@margin.example>`, "To": "<" + ann + ">", "Subject": "012345 is your code for Margin",
				"Auto-Submitted": "auto-generated", "User-Agent": "", "X-Mailer": "", "Bcc": "", "Cc": "",
			} {
				if got := header.Get(name); got != want {
					t.Errorf("got %s %q, want %q", name, got, want)
				}
			}
			if date, err := header.Date(); err != nil || time.Since(date).Abs() > time.Hour {
				t.Errorf("got date %v, %v", date, err)
			}
			if id := header.Get("Message-Id"); !strings.HasSuffix(id, "@margin.example>") || len(id) < 40 {
				t.Errorf("got Message-ID %s", id)
			}
			text, page := bodies["text/plain; charset=UTF-8"], bodies["text/html; charset=UTF-8"]
			for _, body := range []string{text, page} {
				if !strings.Contains(body, "012345") || !strings.Contains(body, message.Link) || !strings.Contains(body, "to create an account with this address") ||
					!strings.Contains(body, "within 10 minutes") {
					t.Errorf("the mail says %s", body)
				}
			}
			for _, banned := range []string{"<img", "src=", "<script", "url("} {
				if strings.Contains(page, banned) {
					t.Errorf("the mail has %s in it", banned)
				}
			}
			_, bodies = parts(t, mails[1].data)
			text, page = bodies["text/plain; charset=UTF-8"], bodies["text/html; charset=UTF-8"]
			for _, body := range []string{text, page} {
				if !strings.Contains(body, "to sign in with this address") || strings.Contains(body, "http") {
					t.Errorf("the mail to an owner says %s", body)
				}
			}
		})
	}
}

// Nothing goes out unencrypted unless the app says so, nor to an impostor of the relay.
func TestNoTLSNoMail(t *testing.T) {
	for _, tt := range []struct {
		name   string
		relay  smtp.Security
		change func(*smtp.Config)
		want   string
	}{
		{"the relay offers none", smtp.InsecurePlaintext, func(*smtp.Config) {}, "does not support STARTTLS"},
		{"a certificate nobody knows", smtp.STARTTLS, func(cfg *smtp.Config) { cfg.TLSConfig = nil }, "certificate"},
		{"a certificate of somebody else", smtp.STARTTLS, func(cfg *smtp.Config) { cfg.TLSConfig.ServerName = "other.example" }, "certificate"},
		{"the same, from the start", smtp.ImplicitTLS, func(cfg *smtp.Config) {
			cfg.Security, cfg.TLSConfig.ServerName = smtp.ImplicitTLS, "other.example"
		}, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRelay(t, tt.relay, nil)
			cfg := r.config(smtp.STARTTLS)
			tt.change(&cfg)
			err := newSender(t, cfg).Send(t.Context(), message)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
			if len(r.received()) != 0 {
				t.Error("a mail arrived")
			}
		})
	}
}

// What the relay refuses is an error that says where, and quotes nothing.
func TestRelayRefuses(t *testing.T) {
	for _, tt := range []struct{ command, want string }{
		{"MAIL", "5.1.1 while sending SMTP MAIL FROM"},
		{"RCPT", "5.1.1 while sending SMTP RCPT TO"},
		{"DATA", "5.1.1 while closing SMTP DATA"},
	} {
		t.Run(tt.command, func(t *testing.T) {
			r := newRelay(t, smtp.STARTTLS, func(r *relay) {
				r.refuse = func(command string) error {
					if command != tt.command {
						return nil
					}
					return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "no " + ann + " here, code 012345"}
				}
			})
			err := newSender(t, r.config(smtp.STARTTLS)).Send(t.Context(), message)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "ann") || strings.Contains(err.Error(), "012345")) {
				t.Errorf("the error quotes: %v", err)
			}
		})
	}
	t.Run("the password", func(t *testing.T) {
		r := newRelay(t, smtp.STARTTLS, func(r *relay) { r.username = "margin" })
		cfg := r.config(smtp.STARTTLS)
		cfg.Username, cfg.Password = "margin", "a wrong one"
		err := newSender(t, cfg).Send(t.Context(), message)
		if err == nil || !strings.Contains(err.Error(), "535") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody is there", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
		cfg := smtp.Config{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, From: "hello@margin.example", Site: "Margin"}
		if err := newSender(t, cfg).Send(t.Context(), message); err == nil {
			t.Error("got no error")
		}
	})
}

// A relay that says nothing any more is left when the context ends, at every
// step of the way.
func TestRelayHangs(t *testing.T) {
	for _, command := range []string{"greeting", "MAIL", "RCPT", "DATA"} {
		t.Run(command, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			tired := errors.New("tired of waiting")
			var cfg smtp.Config
			if command == "greeting" {
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close()
				go func() {
					connection, err := listener.Accept()
					if err != nil {
						return
					}
					cancel(tired)
					_, _ = io.Copy(io.Discard, connection) // until the sender closes
					_ = connection.Close()
				}()
				cfg = smtp.Config{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, From: "hello@margin.example", Site: "Margin"}
			} else {
				release := make(chan struct{})
				r := newRelay(t, smtp.STARTTLS, func(r *relay) {
					r.refuse = func(at string) error {
						if at == command {
							cancel(tired)
							<-release
						}
						return nil
					}
				})
				defer close(release)
				cfg = r.config(smtp.STARTTLS)
			}
			if err := newSender(t, cfg).Send(ctx, message); !errors.Is(err, tired) {
				t.Errorf("got %v, want %v", err, tired)
			}
		})
	}
}

// A script is a relay that says what it is told to, line by line, whatever it is
// asked, and then nothing more.
func script(t *testing.T, lines ...string) smtp.Config {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		asked := bufio.NewReader(connection)
		for i, line := range lines {
			if i > 0 {
				if _, err := asked.ReadString('\n'); err != nil {
					return
				}
			}
			if _, err := io.WriteString(connection, line+"\r\n"); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, asked) // until the sender closes
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return smtp.Config{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, From: "hello@margin.example", Site: "Margin"}
}

// Whatever the relay says before the mail, at whichever step, is in no error.
func TestRelayIsNotQuoted(t *testing.T) {
	const words = "ann@example.com is no friend of relay.example"
	for _, tt := range []struct {
		name  string
		lines []string
		auth  bool
		want  string
	}{
		{"the greeting", []string{"554 5.7.1 " + words}, false, "554"},
		{"no greeting", []string{words}, false, ""},
		{"a line without end", []string{"220 " + strings.Repeat(words, 1<<16)}, false, ""},
		{"a greeting of many lines", []string{"220-" + words + strings.Repeat("\r\n220-"+words, 1<<16)}, false, ""},
		{"EHLO and HELO", []string{"220 x", "550 " + words, "550 " + words}, false, "550"},
		{"no STARTTLS", []string{"220 x", "250-" + words + "\r\n250 SIZE"}, false, "does not support STARTTLS"},
		{"STARTTLS", []string{"220 x", "250-x\r\n250 STARTTLS", "454 4.7.0 " + words}, false, "454"},
		{"goodbye instead", []string{"220 x", "421 " + words, "421 " + words}, false, "421"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := script(t, tt.lines...)
			err := newSender(t, cfg).Send(t.Context(), message)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				for _, word := range []string{"ann", "friend", "relay.example", "127.0.0.1"} {
					if strings.Contains(err.Error(), word) {
						t.Errorf("%q is in %.200v", word, err)
					}
				}
			}
		})
	}
	t.Run("AUTH", func(t *testing.T) {
		r := newRelay(t, smtp.STARTTLS, func(r *relay) { r.username, r.authFails = "margin", words })
		cfg := r.config(smtp.STARTTLS)
		cfg.Username, cfg.Password = "margin", "a wrong one"
		err := newSender(t, cfg).Send(t.Context(), message)
		if err == nil || !strings.Contains(err.Error(), "535") || strings.Contains(err.Error(), "ann") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a certificate", func(t *testing.T) {
		r := newRelay(t, smtp.STARTTLS, nil)
		cfg := r.config(smtp.STARTTLS)
		cfg.TLSConfig.ServerName = "other.example"
		if err := newSender(t, cfg).Send(t.Context(), message); err == nil || strings.Contains(err.Error(), "example.com") {
			t.Errorf("got %v", err) // the certificate is for example.com
		}
	})
}

// A relay that has the mail and then hangs keeps no visitor waiting.
func TestRelayHangsAtQuit(t *testing.T) {
	cfg := smtp.Config{Host: "127.0.0.1", From: "hello@margin.example", Site: "Margin", Security: smtp.InsecurePlaintext}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quit, closed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(closed)
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		say := func(line string) { _, _ = io.WriteString(connection, line+"\r\n") }
		say("220 x")
		data := false
		for asked := bufio.NewScanner(connection); asked.Scan(); {
			switch text := asked.Text(); {
			case data && text == ".":
				data = false
				say("250 taken")
			case data:
			case text == "DATA":
				data = true
				say("354 go")
			case text == "QUIT":
				close(quit) // and no answer
			default:
				say("250 x")
			}
		}
	}()
	defer listener.Close()
	cfg.Port = listener.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := newSender(t, cfg).Send(ctx, message); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
		t.Error("Send waited until the connection was closed")
	default:
	}
	<-quit   // the relay was told, all the same
	<-closed // and does not keep the connection
}

// Whatever a message is addressed to, or says, it is one mail to one mailbox
// with the headers that we wrote.
func TestHeaderInjection(t *testing.T) {
	r := newRelay(t, smtp.STARTTLS, nil)
	for _, to := range []string{
		"", "ann", "a@b.io\r\nBcc: c@d.io", "a@b.io\nBcc: c@d.io", "a@b.io, c@d.io", "Ann <a@b.io>", "<a@b.io>", "a@b.io>\r\nRCPT TO:<c@d.io",
		"a@b.io SIZE=1", "\"a\r\nb\"@b.io", "a@b.io\x00", "a(c)@b.io", "a@b.io\u2028c",
	} {
		m := message
		m.To = to
		if err := newSender(t, r.config(smtp.STARTTLS)).Send(t.Context(), m); err == nil {
			t.Errorf("%q was sent to", to)
		} else if len(to) > 4 && strings.Contains(err.Error(), to) {
			t.Errorf("the error quotes the address: %v", err)
		}
	}
	for _, subject := range []string{"", "a\r\nBcc: c@d.io", "a\nb", "a\rb", "a\u2028b", "a\x00b"} {
		cfg := r.config(smtp.STARTTLS)
		cfg.Compose = func(context.Context, code.Message) (smtp.Mail, error) {
			return smtp.Mail{Subject: subject, Text: "text"}, nil
		}
		if err := newSender(t, cfg).Send(t.Context(), message); err == nil {
			t.Errorf("the subject %q was sent", subject)
		}
	}
	if got := len(r.received()); got != 0 {
		t.Fatalf("%d mails arrived", got)
	}
	// Markup in the words of a site or a link is text, and a dot is a dot.
	cfg := r.config(smtp.STARTTLS)
	cfg.Site = `Tom & "Jerry" <b>`
	m := message
	m.Link = `https://margin.example/code?a=1&b="><script>`
	if err := newSender(t, cfg).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	header, bodies := parts(t, r.received()[0].data)
	if page := bodies["text/html; charset=UTF-8"]; strings.Contains(page, "<script") || strings.Contains(page, " <b>") {
		t.Errorf("the mail says %s", page)
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	if err != nil || decoded != `012345 is your code for Tom & "Jerry" <b>` {
		t.Errorf("got subject %q, %v", decoded, err)
	}
}

func TestCompose(t *testing.T) {
	type language struct{}
	r := newRelay(t, smtp.STARTTLS, nil)
	cfg := r.config(smtp.STARTTLS)
	cfg.Compose = func(ctx context.Context, m code.Message) (smtp.Mail, error) {
		if ctx.Value(language{}) != "de" {
			return smtp.Mail{}, errors.New("no such language")
		}
		return smtp.Mail{Subject: "Ihr Schlüssel", Text: "Für Sie: " + m.Code + "\n.\nbis dann", HTML: "<p>" + m.Code}, nil
	}
	sender := newSender(t, cfg)
	if err := sender.Send(t.Context(), message); err == nil || err.Error() != "walkin: smtp: Config.Compose: no such language" {
		t.Errorf("got %v", err)
	}
	if err := sender.Send(context.WithValue(t.Context(), language{}, "de"), message); err != nil {
		t.Fatal(err)
	}
	header, bodies := parts(t, r.received()[0].data)
	subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	if err != nil || subject != "Ihr Schlüssel" || bodies["text/plain; charset=UTF-8"] != "Für Sie: 012345\n.\nbis dann" {
		t.Errorf("got %q, %v, %q", subject, err, bodies)
	}
	phone := message
	phone.Kind, phone.To = code.Phone, "+14155550123"
	if err := sender.Send(t.Context(), phone); err == nil {
		t.Error("a mail was sent to a phone")
	}
}

func TestConfigMistakes(t *testing.T) {
	_, err := smtp.New(smtp.Config{Host: "https://x", Port: 70000, From: "nobody", Site: "a\nb", Security: 9, Username: "u"})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, part := range []string{"Host", "Port", "From", "Site", "Security", "Username"} {
		if !strings.Contains(err.Error(), "Config."+part) {
			t.Errorf("%s is not named in: %v", part, err)
		}
	}
	_, err = smtp.New(smtp.Config{Host: "localhost", From: "a@b.io", Site: "Margin", Security: smtp.InsecurePlaintext, Username: "u", Password: "hidden"})
	if err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "in the clear") {
		t.Errorf("got %v", err)
	}
}

// The whole way: an anonymous user asks for a code, it arrives as a mail, and they
// type it in.
func TestSignUpByMail(t *testing.T) {
	r := newRelay(t, smtp.STARTTLS, nil)
	store := memstore.New()
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a test's own thirty-two bytes of it")}}, Store: store,
		Paths: walkin.Paths{Upgrade: "/upgrade", Credentials: []string{"/send"}}})
	if err != nil {
		t.Fatal(err)
	}
	codes, err := code.New(wk, code.Config{Sender: newSender(t, r.config(smtp.STARTTLS))})
	if err != nil {
		t.Fatal(err)
	}
	site := serve(wk, codes)
	browser := walkintest.NewClient(t, site)
	browser.Visit("/")
	if got := browser.Post("/send", url.Values{"email": {ann}}).StatusCode; got != 303 {
		t.Fatalf("got %d", got)
	}
	header, _ := parts(t, r.received()[0].data)
	typed, _, _ := strings.Cut(header.Get("Subject"), " ")
	if got := browser.Post("/upgrade", url.Values{"code": {typed}}).StatusCode; got != 303 {
		t.Errorf("got %d", got)
	}
	if _, err := store.Identity(t.Context(), "email", ann); err != nil {
		t.Error(err)
	}
}
