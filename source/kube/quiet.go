package kube

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/klog/v2"
)

// quiet has client-go's own log, of which there is one in a process, go to the first log that is given, as what helps to debug: what
// matters of it is returned as an error or logged by weft, once and not with each attempt.
func quiet(log *slog.Logger) {
	quieted.Do(func() { klog.SetSlogLogger(slog.New(debug{log.With("by", "client-go").Handler()})) })
}

var quieted sync.Once

// debug takes all records for records of the level Debug.
type debug struct{ slog.Handler }

func (d debug) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

func (d debug) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

func (d debug) WithAttrs(attrs []slog.Attr) slog.Handler { return debug{d.Handler.WithAttrs(attrs)} }
func (d debug) WithGroup(name string) slog.Handler       { return debug{d.Handler.WithGroup(name)} }
