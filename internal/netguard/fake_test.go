package netguard

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A victim is a service on loopback that no registry may reach. It counts the
// connections and each byte that arrives, requests or not.
type victim struct {
	*httptest.Server
	port  string
	conns atomic.Int64
	bytes atomic.Int64
}

func newVictim(t *testing.T, tls bool) *victim {
	t.Helper()
	v := &victim{}
	v.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "secret")
	}))
	v.Listener = countingListener{v.Listener, v}
	v.Config.ErrorLog = quiet()
	if tls {
		v.StartTLS()
	} else {
		v.Start()
	}
	t.Cleanup(v.Close)
	u, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	v.port = u.Port()
	return v
}

// url gives the URL under which host leads to the victim.
func (v *victim) url(host string) string {
	scheme, _, _ := strings.Cut(v.URL, ":")
	return scheme + "://" + host + ":" + v.port + "/"
}

type countingListener struct {
	net.Listener
	victim *victim
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.victim.conns.Add(1)
	return countingConn{conn, &l.victim.bytes}, nil
}

type countingConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// A hosts table is a dialer for tests: it dials the port on loopback for the
// names that it holds, and shows the address in the table as the remote one.
// Other hosts are dialled as usual.
type hosts map[string]string

func (h hosts) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	shown, ok := h[host]
	if !ok {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	to, err := netip.ParseAddrPort(shown)
	if err != nil { // no port: keep the one asked for
		to = netip.AddrPortFrom(netip.MustParseAddr(shown), 0)
	}
	if to.Port() != 0 {
		_, port, _ = net.SplitHostPort(to.String())
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	return shownConn{conn, net.TCPAddrFromAddrPort(netip.AddrPortFrom(to.Addr(), to.Port()))}, nil
}

// A shownConn pretends that its peer has another address.
type shownConn struct {
	net.Conn
	remote net.Addr
}

func (c shownConn) RemoteAddr() net.Addr { return c.remote }

// A fakeDNS answers look-ups from a table, without a network. A name with
// several answers gives one a look-up, the last for ever.
type fakeDNS struct {
	answers map[string][]string

	mu    sync.Mutex // guards asked
	asked map[string]int
}

// install makes every look-up of the test go to the table.
func (d *fakeDNS) install(t *testing.T) {
	t.Helper()
	d.asked = map[string]int{}
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: d.dial}
	t.Cleanup(func() { net.DefaultResolver = old })
}

// dial gives the resolver a connection to the table: a stream, so each message
// has its length in front (RFC 1035 section 4.2.2).
func (d *fakeDNS) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		for {
			var size [2]byte
			if _, err := io.ReadFull(server, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(server, query); err != nil {
				return
			}
			reply := d.reply(query)
			reply = append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)
			if _, err := server.Write(reply); err != nil {
				return
			}
		}
	}()
	return client, nil
}

// reply answers one query.
func (d *fakeDNS) reply(query []byte) []byte {
	var labels []string
	end := 12
	for n := int(query[end]); n > 0; n = int(query[end]) {
		labels = append(labels, string(query[end+1:end+1+n]))
		end += 1 + n
	}
	end++ // the root label
	kind := binary.BigEndian.Uint16(query[end:])
	question := query[12 : end+4]

	answer, known := d.answer(strings.Join(labels, "."), kind == 1)
	flags, count := uint16(0x8180), uint16(0)
	if !known {
		flags |= 3 // no such name
	}
	if answer != nil {
		count = 1
	}
	reply := append([]byte{}, query[:2]...)
	for _, field := range []uint16{flags, 1, count, 0, 0} {
		reply = binary.BigEndian.AppendUint16(reply, field)
	}
	reply = append(reply, question...)
	if answer != nil {
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the name asked for, A, IN, TTL 0, 4 bytes
		reply = append(reply, answer...)
	}
	return reply
}

// answer gives the next IPv4 address of a name, and whether the name is known.
func (d *fakeDNS) answer(name string, ipv4 bool) (addr []byte, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all, known := d.answers[name]
	if !known || !ipv4 {
		return nil, known
	}
	i := min(d.asked[name], len(all)-1)
	d.asked[name]++
	return netip.MustParseAddr(all[i]).AsSlice(), true
}
