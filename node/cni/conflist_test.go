package cni

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const bridge = `{"type": "bridge", "bridge": "cni0", "mtu": 1e3}`

func typesOf(t *testing.T, text []byte) (out []string) {
	t.Helper()
	var list struct {
		Plugins []struct {
			Type string `json:"type"`
		} `json:"plugins"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, p := range list.Plugins {
		out = append(out, p.Type)
	}
	return out
}

func TestInsert(t *testing.T) {
	for _, x := range []struct {
		name, text string
		want       string // types of plugins
		says       string // an error's
	}{
		{"list", `{"cniVersion": "1.0.0", "name": "n", "plugins": [` + bridge + `, {"type": "portmap"}]}`, "bridge portmap weft-cni", ""},
		{"single", `{"cniVersion": "1.0.0", "name": "n", "type": "bridge", "bridge": "cni0"}`, "bridge weft-cni", ""},
		{"already", `{"name": "n", "plugins": [` + bridge + `, ` + string(entry) + `]}`, "bridge weft-cni", ""},
		{"not last", `{"name": "n", "plugins": [` + bridge + `, ` + string(entry) + `, {"type": "tuning"}]}`, "bridge tuning weft-cni", ""},
		{"twice", `{"name": "n", "plugins": [` + bridge + `, ` + string(entry) + `, ` + string(entry) + `]}`, "bridge weft-cni", ""},
		{"without its capability", `{"name": "n", "plugins": [` + bridge + `, {"type": "weft-cni"}]}`, "bridge weft-cni", ""},
		{"no plugin", `{"name": "n", "plugins": []}`, "", "no plugin that gives pods a network"},
		{"this one alone", `{"name": "n", "plugins": [` + string(entry) + `]}`, "", "no plugin that gives pods a network"},
		{"half written", `{"name": "n", "plugins": [`, "", "unexpected end"},
		{"empty", ``, "", "unexpected end"},
		{"no network", `{"name": "n"}`, "", "plugins"},
		{"another's shape", `[1]`, "", "cannot unmarshal"},
	} {
		out, err := insert([]byte(x.text))
		if x.says != "" {
			if err == nil || !strings.Contains(err.Error(), x.says) {
				t.Errorf("%s: %v, want %q", x.name, err, x.says)
			}
			continue
		}
		if err != nil || strings.Join(typesOf(t, out), " ") != x.want || bytes.Count(out, []byte(annotations)) != 1 {
			t.Errorf("%s: %s, %v", x.name, out, err)
		}
		if again, err := insert(out); err != nil || !bytes.Equal(again, out) {
			t.Errorf("%s: again %s, %v", x.name, again, err)
		}
		back, err := remove(out)
		if err != nil || bytes.Contains(back, []byte(Name)) {
			t.Errorf("%s: without %s, %v", x.name, back, err)
		}
		if without, err := remove(back); err != nil || !bytes.Equal(without, back) {
			t.Errorf("%s: without, again %s, %v", x.name, without, err)
		}
	}
}

// A list that is made of a single plugin says what that did of its network, and no more.
func TestInsertIntoSingle(t *testing.T) {
	for _, network := range []string{`"name":"n"`, `"cniVersion":"1.0.0","name":"n"`} {
		out, err := insert([]byte(`{` + network + `,"type":"bridge"}`))
		var list map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(out, &list)
		}
		delete(list, "plugins")
		if got, _ := json.Marshal(list); err != nil || string(got) != `{`+network+`}` {
			t.Errorf("%s became that of %s, %v", network, got, err)
		}
	}
}

// What others wrote stays: every field and number as it was written.
func TestInsertKeeps(t *testing.T) {
	const text = `{"cniVersion": "1.0.0", "name": "n", "disableCheck": true, "custom": {"a": 12345678901234567890, "b": null}, "plugins": [` + bridge + `]}`
	out, err := insert([]byte(text))
	if err == nil {
		out, err = remove(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	var was, is map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &is); err != nil {
		t.Fatal(err)
	}
	for _, m := range []map[string]json.RawMessage{was, is} {
		for k, v := range m {
			var b bytes.Buffer
			_ = json.Compact(&b, v)
			m[k] = b.Bytes()
		}
	}
	if !reflect.DeepEqual(was, is) {
		t.Errorf("%s became %s", text, out)
	}
}

func FuzzInsert(f *testing.F) {
	f.Add([]byte(`{"name": "n", "plugins": [` + bridge + `]}`))
	f.Add([]byte(`{"name": "n", "type": "bridge"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := insert(text)
		if err != nil {
			return
		}
		if list := typesOf(t, out); len(list) < 2 || list[len(list)-1] != Name {
			t.Fatalf("%s became %s", text, out)
		}
		if again, err := insert(out); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%s became %s, %v", out, again, err)
		}
	})
}
