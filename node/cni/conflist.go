package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// entry is the plugin in a network's configuration. It never changes, so that no update of weft changes the file.
var entry = json.RawMessage(`{"type":"` + Name + `","capabilities":{"` + annotations + `":true}}`)

// insert returns a network's configuration with the plugin as its last, once; the same bytes where it is that already. A configuration
// of one plugin becomes a list.
func insert(text []byte) ([]byte, error) {
	list, plugins, err := parse(text)
	if err != nil {
		return nil, err
	}
	rest := others(plugins)
	if len(rest) == 0 {
		return nil, errors.New("it has no plugin that gives pods a network")
	}
	if len(rest) == len(plugins)-1 && same(plugins[len(plugins)-1], entry) {
		return text, nil
	}
	return compose(list, append(rest, entry))
}

// remove returns the configuration without the plugin; the same bytes where it is not there.
func remove(text []byte) ([]byte, error) {
	list, plugins, err := parse(text)
	if err != nil {
		return nil, err
	}
	if rest := others(plugins); len(rest) < len(plugins) {
		return compose(list, rest)
	}
	return text, nil
}

// parse reads a list, or makes one of a single plugin.
func parse(text []byte) (list map[string]json.RawMessage, plugins []json.RawMessage, err error) {
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, nil, err
	}
	if _, single := list["type"]; single && list["plugins"] == nil {
		plugins = []json.RawMessage{slices.Clone(text)}
		whole := list
		list = map[string]json.RawMessage{}
		for _, key := range []string{"name", "cniVersion"} {
			if v, ok := whole[key]; ok {
				list[key] = v
			}
		}
		return list, plugins, nil
	}
	if err := json.Unmarshal(list["plugins"], &plugins); err != nil {
		return nil, nil, fmt.Errorf("plugins: %w", err)
	}
	return list, plugins, nil
}

func others(plugins []json.RawMessage) (out []json.RawMessage) {
	for _, p := range plugins {
		var x struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(p, &x); err != nil || x.Type != Name {
			out = append(out, p)
		}
	}
	return out
}

func same(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

func compose(list map[string]json.RawMessage, plugins []json.RawMessage) ([]byte, error) {
	raw, err := json.Marshal(plugins)
	if err != nil {
		return nil, err
	}
	list["plugins"] = raw
	out, err := json.MarshalIndent(list, "", "  ")
	return append(out, '\n'), err
}
