package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	kjson "sigs.k8s.io/json"
)

// Decode fills into, a pointer to an API's Go type, with the whole object by its JSON. Read has compared the object with its
// Schema before Lower runs, so an error is rare; it names the field and the type that was expected. Case counts: a field that
// is misspelt so has no effect, as its finding says.
func Decode(o *Object, into any) error {
	if o.Packed != "" {
		return unmarshal("", o.text(), into)
	}
	tree := maps.Clone(o.Tree)
	delete(tree, "metadata") // the object carries it already, and dates in it may be anything
	return decode("", tree, into)
}

// DecodeField fills into with one top-level field of the object, as "spec"; a field that is not there leaves it as it is.
func DecodeField(o *Object, field string, into any) error {
	if o.Packed != "" {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(o.text(), &fields); err != nil || fields[field] == nil {
			return err
		}
		return unmarshal(field, fields[field], into)
	}
	if o.Tree[field] == nil {
		return nil
	}
	return decode(field, o.Tree[field], into)
}

func decode(path string, tree, into any) error {
	text, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return unmarshal(path, text, into)
}

func unmarshal(path string, text []byte, into any) error {
	err := kjson.UnmarshalCaseSensitivePreserveInts(text, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		if path != "" && wrong.Field != "" {
			path += "."
		}
		return fmt.Errorf("%s%s: %s is expected here, and this is a %s", path, wrong.Field, wrong.Type, wrong.Value)
	case err != nil && path != "":
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}
