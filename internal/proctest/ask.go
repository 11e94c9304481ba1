package proctest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Ask gets http://at/. Any answer but 200 is an error, with what it says.
func Ask(ctx context.Context, c *http.Client, at string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", resp.Status, b)
	}
	return err
}

// AwaitAnswer waits until a workload answers at an address where it is published.
func (m *Mesh) AwaitAnswer(ctx context.Context, p *Process, at string) error {
	return m.Await(ctx, p, 30*time.Second, "answer", func() error { return Ask(ctx, http.DefaultClient, at) })
}

// HTTP2 speaks HTTP/2 in the clear, without an upgrade.
func HTTP2() *http.Transport {
	t := &http.Transport{Protocols: &http.Protocols{}}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}
