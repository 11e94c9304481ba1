package dialect

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/mesh"
)

// KeyPair reads a certificate and its key from a Secret, of the names that those of the type kubernetes.io/tls have, or of others. The
// errors tell nothing of what it holds.
func KeyPair(o *Object, certName, keyName string) (c mesh.Certificate, err error) {
	var data map[string]string
	if err := DecodeField(o, "data", &data); err != nil {
		return c, errors.New("its data are no map of strings")
	}
	cert, err := decoded(o, data, certName)
	if err != nil {
		return c, err
	}
	keyText, err := decoded(o, data, keyName)
	if err != nil {
		return c, err
	}
	c.Ref = o.Ref(decision.Core)
	leaf, err := readChain(&c, certName, cert)
	if err != nil {
		return c, err
	}
	key, err := readKey(keyName, keyText)
	if err != nil {
		return c, err
	}
	if p, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(key.Public()) {
		return c, errors.New(keyName + " is not the key of the certificate in " + certName)
	}
	if c.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return c, errors.New(keyName + " is of a kind that is not supported")
	}
	return c, nil
}

func decoded(o *Object, data map[string]string, name string) ([]byte, error) {
	if text, ok := data[name]; ok {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New(name + " is not base64")
		}
		return b, nil
	}
	var plain map[string]string // which the API server turns into data
	if DecodeField(o, "stringData", &plain) == nil && plain[name] != "" {
		return []byte(plain[name]), nil
	}
	return nil, errors.New("it has no " + name)
}

func readChain(c *mesh.Certificate, name string, text []byte) (leaf *x509.Certificate, err error) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type == "CERTIFICATE" {
			c.Chain = append(c.Chain, b.Bytes)
		}
	}
	if len(c.Chain) == 0 {
		return nil, errors.New(name + " holds no certificate in PEM")
	}
	if leaf, err = x509.ParseCertificate(c.Chain[0]); err != nil {
		return nil, errors.New(name + " holds no certificate that can be read")
	}
	return leaf, nil
}

func readKey(name string, text []byte) (crypto.Signer, error) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return nil, errors.New(name + " holds no private key in PEM")
		}
		var key any
		var err error
		switch b.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		default:
			continue // as the parameters of a curve before its key
		}
		if s, ok := key.(crypto.Signer); err == nil && ok {
			return s, nil
		}
		return nil, errors.New(name + " holds no private key that can be read")
	}
}

// SecretHas says whether a Secret has a key, and something there.
func SecretHas(o *Object, key string) bool {
	var data map[string]string
	if DecodeField(o, "data", &data) != nil {
		return false
	}
	text, err := decoded(o, data, key)
	return err == nil && len(text) > 0
}
