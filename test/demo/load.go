package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// load sends requests at a steady rate, whether or not the earlier ones have been answered, and counts what becomes of them.
type load struct {
	url string

	sent, ok, failed atomic.Int64
	mu               sync.Mutex
	first            string                  // the first failure
	check            func(body string) error // of an answer; nil: its status alone counts
	client           *http.Client
	cancel           context.CancelFunc
	all              sync.WaitGroup
}

// startLoad sends GET requests to url, one each interval, until stop; those under way then are waited for, unless ctx ends.
func startLoad(ctx context.Context, url string, every time.Duration, check func(body string) error) *load {
	l := &load{url: url, check: check, client: newClient()}
	on, cancel := context.WithCancel(ctx)
	l.cancel = cancel
	l.all.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-on.Done():
				return
			case <-t.C:
				l.all.Go(func() { l.one(ctx) })
			}
		}
	})
	return l
}

func newClient() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (l *load) one(ctx context.Context) {
	l.sent.Add(1)
	status, body, err := get(ctx, l.client, l.url, nil)
	if err == nil && l.check != nil {
		err = l.check(body)
	}
	if err == nil && status < 500 {
		l.ok.Add(1)
		return
	}
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		l.first = fmt.Sprintf("status %d %v %.300s", status, err, body)
	}
}

// more is an error until n more requests have been sent.
func (l *load) more(n int64) func() error {
	was := l.sent.Load()
	return func() error {
		if now := l.sent.Load(); now < was+n {
			return fmt.Errorf("%d requests were sent in %v, want %d", now-was, patience, n)
		}
		return nil
	}
}

// stop sends no more and waits for what is under way.
func (l *load) stop() {
	l.cancel()
	l.all.Wait()
	l.client.CloseIdleConnections()
}

// figures is what became of the requests, in words.
func (l *load) figures() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := fmt.Sprintf("%d requests, %d failed", l.sent.Load(), l.failed.Load())
	if l.first != "" {
		s += ", first: " + l.first
	}
	return s
}

// get makes one request.
func get(ctx context.Context, c *http.Client, url string, header map[string]string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
