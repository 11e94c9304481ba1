// Package spelling finds the name that somebody probably meant who has written another one. It knows nothing of what the names are of.
package spelling

import (
	"slices"
	"strings"
)

// Nearest returns the name that is most like got, or "" if none is much like it.
func Nearest(got string, names []string) string {
	best, least := "", 4
	for _, name := range slices.Sorted(slices.Values(names)) {
		if d := unlike(got, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// unlike is 0 for names that differ in case or plural, 1 and 2 for as many slips of the pen, 3 where one begins with the
// other, and 4 beyond.
func unlike(a, b string) int {
	a, b = fold(a), fold(b)
	if a == b {
		return 0
	}
	if d := distance(a, b); d <= 2 && d*3 <= max(len(a), len(b)) {
		return d
	}
	if min(len(a), len(b)) >= 4 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
		return 3
	}
	return 4
}

// fold leaves of a name what people remember: no case, no plural, no separators.
func fold(name string) string {
	name = strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
	for _, plural := range []string{"ies", "es", "s"} {
		if stem, ok := strings.CutSuffix(name, plural); ok && len(stem) > 2 {
			return stem
		}
	}
	return strings.TrimSuffix(name, "y")
}

// distance is the number of letters to insert, delete, replace or swap with the next (optimal string alignment).
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
