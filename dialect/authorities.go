package dialect

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Authorities reads the certificates, in PEM, of authorities that vouch for others, from a key of a ConfigMap. The result is in DER.
func Authorities(o *Object, key string) (roots [][]byte, err error) {
	var data map[string]string
	if err := DecodeField(o, "data", &data); err != nil {
		return nil, errors.New("its data are no map of strings")
	}
	text, ok := data[key]
	if !ok {
		return nil, errors.New("it has no " + key)
	}
	return ReadAuthorities(key, []byte(text))
}

// ReadAuthorities is Authorities of a text, which has a name.
func ReadAuthorities(name string, text []byte) (roots [][]byte, err error) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds a %s, and certificates alone are expected", name, b.Type)
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return nil, errors.New(name + " holds a certificate that cannot be read")
		}
		roots = append(roots, b.Bytes)
	}
	if len(roots) == 0 {
		return nil, errors.New(name + " holds no certificate in PEM")
	}
	return roots, nil
}

// SecretAuthorities is Authorities of a Secret, of the first of some keys that it has.
func SecretAuthorities(o *Object, keys ...string) (roots [][]byte, err error) {
	var data map[string]string
	if err := DecodeField(o, "data", &data); err != nil {
		return nil, errors.New("its data are no map of strings")
	}
	for _, key := range keys {
		if text, err := decoded(o, data, key); err == nil {
			return ReadAuthorities(key, text)
		}
	}
	return nil, errors.New("it has no " + strings.Join(keys, " and no "))
}

// ConfigMapHas says whether a ConfigMap has a key, and something there.
func ConfigMapHas(o *Object, key string) bool {
	var data map[string]string
	return DecodeField(o, "data", &data) == nil && data[key] != ""
}
