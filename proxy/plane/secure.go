package plane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

// secure connects over TLS; the control plane has proved who it is when it returns.
func (p Plane) secure(ctx context.Context) (net.Conn, error) {
	config, err := p.tls()
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{Config: config}
	nc, err := d.DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return nil, p.explain(err, config.ServerName)
	}
	if got := nc.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != alpn {
		return nil, errors.Join(fmt.Errorf("%s speaks %q and not HTTP/2: is it another program?", p.Address, got), nc.Close())
	}
	return nc, nil
}

const alpn = "h2"

func (p Plane) tls() (*tls.Config, error) {
	name := p.Name
	if name == "" {
		host, _, err := net.SplitHostPort(p.Address)
		if err != nil {
			return nil, fmt.Errorf("address of the control plane %q: want host:port: %w", p.Address, err)
		}
		name = host
	}
	pem, err := p.roots()
	if err != nil {
		return nil, fmt.Errorf("roots of the control plane: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("roots of the control plane: there is no certificate in %q", p.Roots)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: name, NextProtos: []string{alpn}}, nil
}

func (p Plane) roots() ([]byte, error) {
	if p.Roots == "" && p.RootsPEM != nil {
		return p.RootsPEM(), nil
	}
	return read(p.Roots)
}

// explain says what to look at where a handshake has failed.
func (p Plane) explain(err error, name string) error {
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%s does not prove to be the control plane %s by the roots %s (is the clock right, are they those of now?): %w",
			p.Address, name, p.Roots, invalid)
	}
	return err
}

// Proof is the token to send now.
func (p Plane) Proof() (string, error) {
	if p.TokenFile == "" {
		return p.Token, nil
	}
	b, err := read(p.TokenFile)
	if err != nil {
		return "", fmt.Errorf("token for the control plane: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// maxFile bounds what is read of roots and tokens.
const maxFile = 1 << 20

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return b, err
}
