package clientip_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/clientip"
)

// behind returns the proxies of some networks, which name the client in a header.
func behind(header string, networks ...string) (*clientip.Proxies, error) {
	var trusted []netip.Prefix
	for _, network := range networks {
		trusted = append(trusted, netip.MustParsePrefix(network))
	}
	return clientip.New(trusted, header)
}

func mustBehind(t testing.TB, header string, networks ...string) *clientip.Proxies {
	t.Helper()
	p, err := behind(header, networks...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func get() *http.Request { return httptest.NewRequest(http.MethodGet, "/", nil) }

// proxies are the two of the tests: one of each kind of address.
var proxies = []string{"10.0.0.0/8", "2001:db8:ffff::/48"}

// seen is what arrives of a request, and whose it is.
type seen struct {
	name  string
	peer  string
	lines []string // of the header, each "Name: value"
	want  string
}

const (
	proxy  = "10.0.0.1:4711"
	client = "203.0.113.7"
)

// forwardedFor is for X-Forwarded-For, which is the default.
var forwardedFor = []seen{
	{"no proxy", client + ":1234", nil, client},
	{"no proxy, and a header", client + ":1234", []string{"X-Forwarded-For: 198.51.100.1"}, client},
	{"no port", client, nil, client},
	{"IPv6", "[2001:db8::7]:1234", nil, "2001:db8::7"},
	{"IPv6 without a port", "2001:db8::7", nil, "2001:db8::7"},
	{"IPv4-mapped", "[::ffff:203.0.113.7]:1234", nil, client},
	{"IPv4-mapped proxy", "[::ffff:10.0.0.1]:1234", []string{"X-Forwarded-For: 203.0.113.7"}, client},
	{"zone", "[fe80::1%eth0]:1234", nil, "fe80::1"},
	{"Unix socket", "@", nil, "invalid IP"},
	{"Unix socket, and a header", "@", []string{"X-Forwarded-For: 203.0.113.7"}, "invalid IP"},
	{"Unix socket by its path", "/run/app.sock", nil, "invalid IP"},
	{"no peer", "", []string{"X-Forwarded-For: 203.0.113.7"}, "invalid IP"},
	{"a peer that middleware made up", "you, me", nil, "invalid IP"},

	{"proxy", proxy, []string{"X-Forwarded-For: 203.0.113.7"}, client},
	{"proxy by IPv6", "[2001:db8:ffff::1]:1", []string{"X-Forwarded-For: 203.0.113.7"}, client},
	{"client's own words", proxy, []string{"X-Forwarded-For: 198.51.100.1, 203.0.113.7"}, client},
	{"client's own line", proxy, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.7"}, client},
	{"client's own words, and our network's", proxy, []string{"X-Forwarded-For: 10.0.0.9, 203.0.113.7"}, client},
	{"two proxies", proxy, []string{"X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.0.0.2"}, client},
	{"two proxies, two lines", proxy, []string{"X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 10.0.0.2"}, client},
	{"two proxies, IPv4-mapped", proxy, []string{"X-Forwarded-For: 203.0.113.7, ::ffff:10.0.0.2"}, client},
	{"an untrusted proxy", proxy, []string{"X-Forwarded-For: 198.51.100.1, 203.0.113.7"}, client},
	{"from inside", proxy, []string{"X-Forwarded-For: 10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
	{"port", proxy, []string{"X-Forwarded-For: 203.0.113.7:40000"}, client},
	{"IPv6 client", proxy, []string{"X-Forwarded-For: 2001:db8::7"}, "2001:db8::7"},
	{"IPv6 client in brackets", proxy, []string{"X-Forwarded-For: [2001:db8::7]"}, "2001:db8::7"},
	{"IPv6 client with a port", proxy, []string{"X-Forwarded-For: [2001:db8::7]:40000"}, "2001:db8::7"},
	{"IPv6 client with a zone", proxy, []string{"X-Forwarded-For: fe80::7%25eth0"}, "fe80::7"},
	{"IPv4-mapped client", proxy, []string{"X-Forwarded-For: ::ffff:203.0.113.7"}, client},
	{"IPv4-mapped client in hexadecimal", proxy, []string{"X-Forwarded-For: ::ffff:cb00:7107"}, client},
	{"blanks", proxy, []string{"X-Forwarded-For: \t198.51.100.1 ,\t 203.0.113.7 \t"}, client},

	// Garbage counts as the proxy that passed it on.
	{"none", proxy, nil, "10.0.0.1"},
	{"empty", proxy, []string{"X-Forwarded-For: "}, "10.0.0.1"},
	{"empty in the end", proxy, []string{"X-Forwarded-For: 203.0.113.7,"}, "10.0.0.1"},
	{"empty between", proxy, []string{"X-Forwarded-For: 203.0.113.7, , 10.0.0.2"}, "10.0.0.2"},
	{"empty line", proxy, []string{"X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: "}, "10.0.0.1"},
	{"empty at the start of a line", proxy, []string{"X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: ,10.0.0.2"}, "10.0.0.2"},
	{"a long port", proxy, []string{"X-Forwarded-For: 203.0.113.7:123456"}, "10.0.0.1"},
	{"a hidden port of nothing", proxy, []string{"X-Forwarded-For: 203.0.113.7:_"}, "10.0.0.1"},
	{"a hidden port of other signs", proxy, []string{"X-Forwarded-For: 203.0.113.7:_a/b"}, "10.0.0.1"},
	{"a port behind a bracket without a colon", proxy, []string{"X-Forwarded-For: [2001:db8::7]80"}, "10.0.0.1"},
	{"unknown", proxy, []string{"X-Forwarded-For: unknown"}, "10.0.0.1"},
	{"unknown behind the client's words", proxy, []string{"X-Forwarded-For: 198.51.100.1, unknown"}, "10.0.0.1"},
	{"unknown behind two proxies", proxy, []string{"X-Forwarded-For: 198.51.100.1, unknown, 10.0.0.2"}, "10.0.0.2"},
	{"Unix socket of nginx", proxy, []string{"X-Forwarded-For: 198.51.100.1, unix:"}, "10.0.0.1"},
	{"a name", proxy, []string{"X-Forwarded-For: host.example"}, "10.0.0.1"},
	{"leading zeros", proxy, []string{"X-Forwarded-For: 203.0.113.007"}, "10.0.0.1"},
	{"a number", proxy, []string{"X-Forwarded-For: 3405803783"}, "10.0.0.1"},
	{"a prefix", proxy, []string{"X-Forwarded-For: 203.0.113.0/24"}, "10.0.0.1"},
	{"a port without digits", proxy, []string{"X-Forwarded-For: 203.0.113.7:http"}, "10.0.0.1"},
	{"no port behind a colon", proxy, []string{"X-Forwarded-For: 203.0.113.7:"}, "10.0.0.1"},
	{"IPv4 in brackets", proxy, []string{"X-Forwarded-For: [203.0.113.7]"}, "10.0.0.1"},
	{"half a bracket", proxy, []string{"X-Forwarded-For: [2001:db8::7"}, "10.0.0.1"},
	{"more behind a bracket", proxy, []string{"X-Forwarded-For: [2001:db8::7]x"}, "10.0.0.1"},
	{"semicolons", proxy, []string{"X-Forwarded-For: 203.0.113.7; 198.51.100.1"}, "10.0.0.1"},
	{"quoted", proxy, []string{`X-Forwarded-For: "203.0.113.7"`}, "10.0.0.1"},
	{"garbage before the client", proxy, []string{"X-Forwarded-For: %00, <script>, 203.0.113.7"}, client},

	// Headers that the configuration does not name.
	{"Forwarded beside it", proxy, []string{"Forwarded: for=198.51.100.1", "X-Forwarded-For: 203.0.113.7"}, client},
	{"Forwarded instead", proxy, []string{"Forwarded: for=198.51.100.1"}, "10.0.0.1"},
	{"X-Real-Ip instead", proxy, []string{"X-Real-Ip: 198.51.100.1"}, "10.0.0.1"},
}

var forwarded = []seen{
	{"RFC 7239", proxy, []string{"Forwarded: for=203.0.113.7"}, client},
	{"more of it", proxy, []string{`Forwarded: by=10.0.0.1;for=203.0.113.7;host="app.example";proto=https`}, client},
	{"in any case", proxy, []string{"Forwarded: FOR=203.0.113.7"}, client},
	{"blanks around", proxy, []string{"Forwarded:  proto=https ; for=203.0.113.7 \t; by=x "}, client},
	{"semicolon in the end", proxy, []string{"Forwarded: for=203.0.113.7;"}, client},
	{"quoted", proxy, []string{`Forwarded: for="203.0.113.7"`}, client},
	{"quoted, with a port", proxy, []string{`Forwarded: for="203.0.113.7:40000"`}, client},
	{"quoted, with a hidden port", proxy, []string{`Forwarded: for="203.0.113.7:_p0rt.-"`}, client},
	{"not quoted, with a port", proxy, []string{"Forwarded: for=203.0.113.7:40000"}, client},
	{"IPv6", proxy, []string{`Forwarded: for="[2001:db8::7]:40000"`}, "2001:db8::7"},
	{"IPv6 without brackets", proxy, []string{`Forwarded: for="2001:db8::7"`}, "2001:db8::7"},
	{"escaped", proxy, []string{`Forwarded: for="2\03.0.113.7"`}, client},
	{"two proxies", proxy, []string{`Forwarded: for=198.51.100.1, for=203.0.113.7;by=x,for=10.0.0.2`}, client},
	{"two proxies, two lines", proxy, []string{"Forwarded: for=198.51.100.1,for=203.0.113.7", "Forwarded: for=10.0.0.2"}, client},
	{"a comma in quotation marks", proxy, []string{`Forwarded: for=203.0.113.7;host="a,for=198.51.100.1"`}, client},
	{"quotation marks in quotation marks", proxy, []string{`Forwarded: for=203.0.113.7;host="a\",for=198.51.100.1;x=\""`}, client},
	{"a backslash in the end", proxy, []string{`Forwarded: for=198.51.100.1, host="a\\";for=203.0.113.7`}, client},
	{"no proxy", client + ":1", []string{"Forwarded: for=198.51.100.1"}, client},

	// A client may leave open what it likes.
	{"an open quotation mark", proxy, []string{`Forwarded: for="198.51.100.1, for=203.0.113.7`}, client},
	{"an open quotation mark before quoted ones", proxy, []string{`Forwarded: for=198.51.100.1;x=", for="203.0.113.7:80";proto=https`}, client},
	{"an open escape", proxy, []string{`Forwarded: for=198.51.100.1;x="\, for="203.0.113.7"`}, client},
	{"an open line", proxy, []string{`Forwarded: for="198.51.100.1`, "Forwarded: for=203.0.113.7"}, client},
	{"commas", proxy, []string{"Forwarded: ,,,;;;===,for=203.0.113.7"}, client},

	{"none", proxy, nil, "10.0.0.1"},
	{"empty", proxy, []string{"Forwarded: "}, "10.0.0.1"},
	{"unknown", proxy, []string{"Forwarded: for=198.51.100.1, for=unknown"}, "10.0.0.1"},
	{"obfuscated", proxy, []string{"Forwarded: for=198.51.100.1, for=_hidden, for=10.0.0.2"}, "10.0.0.2"},
	{"obfuscated, quoted", proxy, []string{`Forwarded: for=198.51.100.1, for="_hidden:80"`}, "10.0.0.1"},
	{"for nobody", proxy, []string{"Forwarded: for=198.51.100.1, proto=https;by=10.0.0.1"}, "10.0.0.1"},
	{"for two", proxy, []string{"Forwarded: for=203.0.113.7;for=198.51.100.1"}, "10.0.0.1"},
	{"for two, one of them quoted", proxy, []string{`Forwarded: for="";for=198.51.100.1`}, "10.0.0.1"},
	{"an address alone", proxy, []string{"Forwarded: 203.0.113.7"}, "10.0.0.1"},
	{"blanks within", proxy, []string{"Forwarded: for=203.0.113.7 proto=https"}, "10.0.0.1"},
	{"more behind a quotation mark", proxy, []string{`Forwarded: for="203.0.113.7"x`}, "10.0.0.1"},
	{"empty at the start of a line", proxy, []string{"Forwarded: for=203.0.113.7", "Forwarded: ,for=10.0.0.2"}, "10.0.0.2"},
	{"an empty value before it", proxy, []string{"Forwarded: by=;for=203.0.113.7"}, client},
	{"a blank behind a quotation mark", proxy, []string{`Forwarded: for="203.0.113.7" ;proto=https`}, client},
	{"a word alone behind it", proxy, []string{"Forwarded: for=203.0.113.7;secure"}, "10.0.0.1"},
	{"blanks within another value", proxy, []string{"Forwarded: by=a b;for=203.0.113.7"}, "10.0.0.1"},
	{"a quotation mark within another value", proxy, []string{`Forwarded: by=a"b";for=203.0.113.7`}, "10.0.0.1"},
	{"a backslash within another value", proxy, []string{`Forwarded: by=a\b;for=203.0.113.7`}, "10.0.0.1"},
	{"another one behind a quotation mark", proxy, []string{`Forwarded: for="203.0.113.7"by=x`}, "10.0.0.1"},
	{"an open quotation mark behind it", proxy, []string{`Forwarded: for=203.0.113.7;host="x`}, "10.0.0.1"},
	{"an open escape behind it", proxy, []string{`Forwarded: for=203.0.113.7;host="x\`}, "10.0.0.1"},
	{"an escaped quotation mark in the end", proxy, []string{`Forwarded: for=203.0.113.7;host="a,for=198.51.100.1;x=\"`}, "10.0.0.1"},
	{"X-Forwarded-For beside it", proxy, []string{"X-Forwarded-For: 198.51.100.1", "Forwarded: for=203.0.113.7"}, client},
	{"X-Forwarded-For instead", proxy, []string{"X-Forwarded-For: 198.51.100.1"}, "10.0.0.1"},
}

var oneAddress = []seen{
	{"address", proxy, []string{"Cf-Connecting-Ip: 203.0.113.7"}, client},
	{"IPv6", proxy, []string{"Cf-Connecting-Ip: 2001:db8::7"}, "2001:db8::7"},
	{"port", proxy, []string{"Cf-Connecting-Ip: 203.0.113.7:80"}, client},
	{"the last line", proxy, []string{"Cf-Connecting-Ip: 198.51.100.1", "Cf-Connecting-Ip: 203.0.113.7"}, client},
	{"in our network", proxy, []string{"Cf-Connecting-Ip: 10.0.0.9"}, "10.0.0.9"},
	{"no proxy", client + ":1", []string{"Cf-Connecting-Ip: 198.51.100.1"}, client},
	{"two", proxy, []string{"Cf-Connecting-Ip: 203.0.113.7, 198.51.100.1"}, "10.0.0.1"},
	{"garbage last", proxy, []string{"Cf-Connecting-Ip: 203.0.113.7", "Cf-Connecting-Ip: x"}, "10.0.0.1"},
	{"none", proxy, []string{"X-Forwarded-For: 198.51.100.1"}, "10.0.0.1"},
	{"empty", proxy, []string{"Cf-Connecting-Ip: "}, "10.0.0.1"},
}

// bring puts what arrives into a request.
func (s seen) bring(r *http.Request) *http.Request {
	r.RemoteAddr = s.peer
	for _, line := range s.lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	return r
}

// TestClientAddr holds whom walkin trusts about an address: the peer, and trusted peers
// about the client behind them, from the right and in one header.
func TestClientAddr(t *testing.T) {
	for header, table := range map[string][]seen{"": forwardedFor, "forwarded": forwarded, "CF-Connecting-IP": oneAddress} {
		s := mustBehind(t, header, proxies...)
		for _, tt := range table {
			t.Run(header+"/"+tt.name, func(t *testing.T) {
				r := tt.bring(get())
				if got := s.Client(r).String(); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		}
	}
	t.Run("nobody is trusted", func(t *testing.T) {
		s := mustBehind(t, "")
		r := seen{peer: proxy, lines: []string{"X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7"}}.bring(get())
		if got := s.Client(r).String(); got != "10.0.0.1" {
			t.Errorf("got %s, want the peer", got)
		}
	})
}

func TestClientNetworks(t *testing.T) {
	for _, tt := range []struct {
		name, peer string
		want       []string
	}{
		{"IPv4", "203.0.113.7:1", []string{"203.0.113.7"}},
		{"IPv4-mapped", "[::ffff:203.0.113.7]:1", []string{"203.0.113.7"}},
		{"IPv6", "[2001:db8:1:2:3:4:5:6]:1", []string{"2001:db8:1:2::/64", "2001:db8:1::/48"}},
		{"IPv6 of the same home", "[2001:db8:1:2:ffff::]:1", []string{"2001:db8:1:2::/64", "2001:db8:1::/48"}},
		{"zone", "[fe80::1%eth0]:1", []string{"fe80::/64", "fe80::/48"}},
		{"Unix socket", "@", []string{"unknown"}},
		{"made up", "203.0.113.7, 198.51.100.1", []string{"unknown"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := mustBehind(t, "")
			r := get()
			r.RemoteAddr = tt.peer
			if got := clientip.Networks(s.Client(r)); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestAddressConfig holds that New reports what would let visitors choose their
// address, or leave a header unread.
func TestAddressConfig(t *testing.T) {
	for _, tt := range []struct {
		name     string
		header   string
		networks []string
		want     string // "" is none
	}{
		{"proxies", "", proxies, ""},
		{"one address", "cf-connecting-ip", []string{"192.0.2.1/32"}, ""},
		{"IPv4-mapped", "", []string{"::ffff:10.0.0.0/104"}, ""},
		{"a header of nobody", "X-Forwarded-For", nil, `Config.Proxies.Header is "X-Forwarded-For" without Proxies.Trusted, whose header it would be`},
		{"no header", "X Real IP", []string{"192.0.2.1/32"}, `Config.Proxies.Header "X Real IP" is not the name of a header`},
		{"everybody", "", []string{"0.0.0.0/0"}, "Config.Proxies.Trusted has 0.0.0.0/0: with it every visitor chooses their own address"},
		{"everybody by IPv6", "", []string{"::/0"}, "Config.Proxies.Trusted has ::/0: with it every visitor chooses their own address"},
		{"everybody, IPv4-mapped", "", []string{"::ffff:0.0.0.0/96"}, "Config.Proxies.Trusted has 0.0.0.0/0: with it every visitor chooses their own address"},
		{"both kinds", "", []string{"::ffff:0:0/90"}, "Config.Proxies.Trusted has ::ffff:0.0.0.0/90, which is neither IPv4 nor IPv6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := behind(tt.header, tt.networks...)
			got := ""
			if err != nil {
				got = strings.TrimPrefix(err.Error(), "walkin: ")
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("the zero prefix", func(t *testing.T) {
		if _, err := clientip.New(make([]netip.Prefix, 1), ""); err == nil || err.Error() != "walkin: Config.Proxies.Trusted has a prefix that is none" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("IPv4-mapped", func(t *testing.T) {
		s := mustBehind(t, "", "::ffff:10.0.0.0/104")
		r := seen{peer: proxy, lines: []string{"X-Forwarded-For: 203.0.113.7"}}.bring(get())
		if got := s.Client(r).String(); got != client {
			t.Errorf("got %s, want %s", got, client)
		}
	})
}

// TestTrustedNetworks holds that exactly the networks that New was given are trusted.
func TestTrustedNetworks(t *testing.T) {
	for _, tt := range []struct {
		network string
		peer    string
		trusted bool
	}{
		{"192.0.2.8/30", "192.0.2.8:1", true},
		{"192.0.2.8/30", "192.0.2.11:1", true},
		{"192.0.2.8/30", "192.0.2.12:1", false},
		{"2001:db8:ffff::1/128", "[2001:db8:ffff::1]:1", true},
		{"2001:db8:ffff::1/128", "[2001:db8:ffff::2]:1", false},
		{"2001:db8:ffff::/96", "[2001:db8:ffff::7]:1", true},
		{"2001:db8:ffff::/96", "[2001:db8:ffff:1::7]:1", false},
		{"::ffff:192.0.2.8/126", "192.0.2.11:1", true},
		{"::ffff:192.0.2.8/126", "192.0.2.12:1", false},
		{"::ffff:192.0.2.8/126", "[::ffff:192.0.2.11]:1", true},
	} {
		r := seen{peer: tt.peer, lines: []string{"X-Forwarded-For: 203.0.113.7"}}.bring(get())
		if got := mustBehind(t, "", tt.network).Client(r).String() == client; got != tt.trusted {
			t.Errorf("%s, behind %s: trusted is %t, want %t", tt.network, tt.peer, got, tt.trusted)
		}
	}
}

// TestOverlooks holds when an operator is told that a proxy may be missing from the
// configuration: a request from inside, or through a Unix socket, that names a client.
func TestOverlooks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trusted []string
		seen    seen
		want    bool
	}{
		{"a private peer", nil, seen{peer: proxy, lines: []string{"X-Forwarded-For: 203.0.113.7"}}, true},
		{"a private peer, Forwarded", nil, seen{peer: proxy, lines: []string{"Forwarded: for=203.0.113.7"}}, true},
		{"this machine", nil, seen{peer: "127.0.0.1:1", lines: []string{"X-Forwarded-For: 203.0.113.7"}}, true},
		{"this machine by IPv6", nil, seen{peer: "[::1]:1", lines: []string{"X-Forwarded-For: 203.0.113.7"}}, true},
		{"a private peer by IPv6", nil, seen{peer: "[fd00::1]:1", lines: []string{"X-Forwarded-For: 203.0.113.7"}}, true},
		{"this link", nil, seen{peer: "[fe80::1%eth0]:1", lines: []string{"X-Forwarded-For: 203.0.113.7"}}, true},
		{"a Unix socket", nil, seen{peer: "@", lines: []string{"X-Forwarded-For: 203.0.113.7"}}, true},
		{"no header", nil, seen{peer: proxy}, false},
		{"an empty header", nil, seen{peer: proxy, lines: []string{"X-Forwarded-For: "}}, false},
		{"a public peer, who may have written it", nil, seen{peer: client + ":1", lines: []string{"X-Forwarded-For: 198.51.100.1"}}, false},
		{"a trusted proxy", proxies, seen{peer: proxy, lines: []string{"X-Forwarded-For: 203.0.113.7"}}, false},
		{"another than the trusted proxy", []string{"192.0.2.1/32"}, seen{peer: proxy, lines: []string{"X-Forwarded-For: 203.0.113.7"}}, false},
	} {
		if got := mustBehind(t, "", tt.trusted...).Overlooks(tt.seen.bring(get())); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
	for peer, want := range map[string]bool{proxy: true, client: true, "[2001:db8::7]:1": true, "@": false, "": false} {
		if got := clientip.HasPeer(seen{peer: peer}.bring(get())); got != want {
			t.Errorf("%q: has a peer: got %t, want %t", peer, got, want)
		}
	}
}

// FuzzClientAddr holds what no header may do: break anything, change the address of an
// untrusted peer, or change what a trusted proxy says behind it.
func FuzzClientAddr(f *testing.F) {
	for _, table := range [][]seen{forwardedFor, forwarded, oneAddress} {
		for _, tt := range table {
			values := make([]string, 2)
			for i := range min(len(tt.lines), 2) {
				_, values[i], _ = strings.Cut(tt.lines[i], ": ")
			}
			f.Add(tt.peer, values[0], values[1])
		}
	}
	hops := map[string]string{"X-Forwarded-For": "203.0.113.7", "Forwarded": `for="203.0.113.7:80";proto=https`, "Cf-Connecting-Ip": ""}
	sites := map[string]*clientip.Proxies{}
	for header := range hops {
		sites[header] = mustBehind(f, header, proxies...)
	}
	f.Fuzz(func(t *testing.T, peer, first, second string) {
		if strings.ContainsAny(first+second, "\r\n\x00") {
			return // net/http refuses it
		}
		for header, hop := range hops {
			of := func(peer string, values ...string) netip.Addr {
				return sites[header].Client(&http.Request{RemoteAddr: peer, Header: http.Header{header: values}})
			}
			got := of(peer, first, second)
			if got.Is4In6() || got.Zone() != "" {
				t.Errorf("%s: got %v, which has another spelling", header, got)
			}
			if bare := of(peer); !isTrusted(bare) && got != bare {
				t.Errorf("%s: an untrusted peer made %v of %v", header, got, bare)
			}
			if hop == "" {
				continue
			}
			for _, values := range [][]string{{first, second, hop}, {first, second + ", " + hop}, {first, second + "," + hop}} {
				if got := of(proxy, values...).String(); got != client {
					t.Errorf("%s: %q became %s", header, values, got)
				}
			}
		}
	})
}

func isTrusted(addr netip.Addr) bool {
	return slices.ContainsFunc(proxies, func(p string) bool { return netip.MustParsePrefix(p).Contains(addr) })
}

// TestOneSource holds that what a client sends beside the header that its proxy
// sets changes nothing, whichever that is.
func TestOneSource(t *testing.T) {
	headers := []string{"X-Forwarded-For", "Forwarded", "Cf-Connecting-Ip", "X-Real-Ip", "True-Client-Ip", "X-Client-Ip", "X-Original-Forwarded-For"}
	for _, believed := range headers {
		s := mustBehind(t, believed, proxies...)
		for i := range 20 {
			r := get()
			r.RemoteAddr = proxy
			for _, name := range headers {
				r.Header.Set(name, fmt.Sprintf("198.51.100.%d", i))
				if name == "Forwarded" {
					r.Header.Set(name, fmt.Sprintf("for=198.51.100.%d", i))
				}
			}
			r.Header.Set(believed, client)
			if believed == "Forwarded" {
				r.Header.Set(believed, "for="+client)
			}
			if got := s.Client(r).String(); got != client {
				t.Fatalf("%s: got %s, want %s", believed, got, client)
			}
		}
	}
}
