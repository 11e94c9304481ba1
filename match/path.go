package match

import "strings"

// ReplacePrefix puts with in the place of prefix at the start of path; a path that does not start so stays as it is. By
// segment, prefix ends where a segment ends, whether it is written with a slash or without (Gateway API
// HTTPPathModifier.replacePrefixMatch); else it is text (Istio HTTPRewrite.uri), and letters compare without case, since the
// rule may have matched so. In neither case is a slash doubled where the parts meet, or the path left empty.
func ReplacePrefix(path, prefix, with string, segment bool) string {
	if segment {
		prefix = strings.TrimSuffix(prefix, "/")
		with = strings.TrimSuffix(with, "/")
	}
	if len(path) < len(prefix) || !strings.EqualFold(path[:len(prefix)], prefix) {
		return path
	}
	rest := path[len(prefix):]
	if segment && rest != "" && rest[0] != '/' {
		return path
	}
	if strings.HasSuffix(with, "/") {
		rest = strings.TrimPrefix(rest, "/")
	}
	if path = with + rest; !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path
}
