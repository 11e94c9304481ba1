package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// answer is what a call gave.
type answer struct {
	Status int         `json:"status"` // of HTTP; 200 where another protocol gave an answer; 0: there was none
	Header http.Header `json:"header,omitempty"`
	Body   string      `json:"body,omitempty"`
	Error  string      `json:"error,omitempty"` // why there was none

	At   time.Time     `json:"at"`
	Took time.Duration `json:"took"`
}

// calls are what client is asked for.
type calls struct {
	url      *url.URL
	method   string
	message  string
	headers  list
	count    int
	timeout  time.Duration
	http2    bool
	follow   bool
	insecure bool
	fresh    bool // a connection for each call
	name     string
	json     bool
	untilEOF bool
	pause    time.Duration
}

// client makes calls one after the other, as "client URL [flags]".
func client(args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return errors.New("usage: client URL [flags]; URL begins with http, https, grpc, tcp or tls")
	}
	c, err := parseCalls(args[0], args[1:])
	if err != nil {
		return err
	}
	call, err := c.caller()
	if err != nil {
		return err
	}
	var failed error
	more := c.more()
	for i := 0; more(i); i++ {
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		a := call(ctx)
		cancel()
		a.At, a.Took = began, time.Since(began)
		if a.Error != "" {
			failed = errors.New(a.Error)
		}
		if err := c.print(os.Stdout, i, a); err != nil {
			return err
		}
	}
	return failed
}

// more says whether another call is to be made, once it is time for it.
func (c *calls) more() func(made int) bool {
	if !c.untilEOF {
		return func(made int) bool { return made < c.count }
	}
	end := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(end)
	}()
	return func(int) bool {
		select {
		case <-end:
			return false
		case <-time.After(c.pause):
			return true
		}
	}
}

func parseCalls(to string, args []string) (*calls, error) {
	c := &calls{}
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	c.url = u
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	for _, name := range []string{"H", "header"} {
		flags.Var(&c.headers, name, "NAME: VALUE, any number of times")
	}
	flags.StringVar(&c.method, "method", http.MethodGet, "of HTTP")
	flags.StringVar(&c.message, "msg", "HelloWorld", "what is sent by gRPC and TCP")
	flags.IntVar(&c.count, "count", 1, "how many calls")
	flags.DurationVar(&c.timeout, "timeout", 5*time.Second, "for each")
	flags.BoolVar(&c.http2, "http2", false, "HTTP/2, in the clear without an upgrade")
	flags.BoolVar(&c.follow, "follow-redirects", false, "call where the answer points")
	flags.BoolVar(&c.insecure, "insecure-skip-verify", false, "take any certificate")
	flags.BoolVar(&c.fresh, "new-connection-per-request", true, "a connection for each call")
	flags.StringVar(&c.name, "server-name", "", "name asked for with TLS; empty: the host's")
	flags.BoolVar(&c.untilEOF, "until-eof", false, "go on until the input ends, however many calls that is")
	flags.DurationVar(&c.pause, "pause", 0, "between such calls")
	flags.BoolVar(&c.json, "json", false, "print each answer as a line of JSON")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q: the URL comes first, and then flags", flags.Args())
	}
	return c, nil
}

// caller goes by the URL's scheme.
func (c *calls) caller() (func(context.Context) answer, error) {
	switch c.url.Scheme {
	case "http", "https":
		h := c.http()
		return func(ctx context.Context) answer { return c.ask(ctx, h) }, nil
	case "grpc":
		c.http2 = true
		h := c.http()
		return func(ctx context.Context) answer { return c.unary(ctx, h) }, nil
	case "tcp", "tls":
		return c.exchange, nil
	}
	return nil, fmt.Errorf("scheme %q: there are http, https, grpc, tcp and tls", c.url.Scheme)
}

func (c *calls) tls() *tls.Config {
	return &tls.Config{ServerName: c.name, InsecureSkipVerify: c.insecure, MinVersion: tls.VersionTLS12}
}

func (c *calls) http() *http.Client {
	t := &http.Transport{DisableKeepAlives: c.fresh, TLSClientConfig: c.tls(), Protocols: &http.Protocols{}, DisableCompression: true}
	switch {
	case c.http2:
		t.Protocols.SetUnencryptedHTTP2(true)
		t.Protocols.SetHTTP2(true)
	default:
		t.Protocols.SetHTTP1(true)
	}
	h := &http.Client{Transport: t}
	if !c.follow {
		h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return h
}

// request has the headers. One named Host names the authority.
func (c *calls) request(ctx context.Context, method string, u *url.URL, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	for _, h := range c.headers {
		name, value, _ := strings.Cut(h, ":")
		value = strings.TrimSpace(value)
		if strings.EqualFold(name, "host") {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return req, nil
}

const maxBody = 1 << 20

func (c *calls) ask(ctx context.Context, h *http.Client) answer {
	req, err := c.request(ctx, c.method, c.url, nil)
	if err != nil {
		return answer{Error: err.Error()}
	}
	resp, err := h.Do(req)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	a := answer{Status: resp.StatusCode, Header: resp.Header, Body: string(b)}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// exchange sends a line, and takes what comes back until the other side has no more to say.
func (c *calls) exchange(ctx context.Context) answer {
	b, err := c.exchangeBytes(ctx)
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%s closed the connection without a byte", c.url.Host)
	}
	if err != nil {
		return answer{Body: string(b), Error: err.Error()}
	}
	return answer{Status: http.StatusOK, Body: string(b)}
}

func (c *calls) exchangeBytes(ctx context.Context) ([]byte, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			return nil, err
		}
	}
	if _, err := io.WriteString(conn, c.message+"\n"); err != nil {
		return nil, err
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(conn, maxBody))
}

func (c *calls) dial(ctx context.Context) (net.Conn, error) {
	if c.url.Scheme == "tls" {
		d := tls.Dialer{Config: c.tls()}
		return d.DialContext(ctx, "tcp", c.url.Host)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", c.url.Host)
}

// print writes what the suite's parser looks for: lines of NAME=VALUE, each call's apart by an empty line, those of the answer's body as
// they came, after "[N body]".
func (c *calls) print(w io.Writer, i int, a answer) error {
	if c.json {
		return json.NewEncoder(w).Encode(a)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "[%d] Url=%s\n", i, c.url)
	for _, h := range c.headers {
		name, value, _ := strings.Cut(h, ":")
		fmt.Fprintf(&out, "[%d] Header=%s:%s\n", i, name, strings.TrimSpace(value))
	}
	if a.Status != 0 {
		fmt.Fprintf(&out, "[%d] StatusCode=%d\n", i, a.Status)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		fmt.Fprintf(&out, "[%d] ResponseHeader=%s:%s\n", i, name, strings.Join(a.Header[name], ","))
	}
	for lines := bufio.NewScanner(strings.NewReader(a.Body)); lines.Scan(); {
		fmt.Fprintf(&out, "[%d body] %s\n", i, lines.Text())
	}
	if a.Error != "" {
		fmt.Fprintf(&out, "[%d error] %s\n", i, a.Error)
	}
	_, err := fmt.Fprintln(w, out.String())
	return err
}
