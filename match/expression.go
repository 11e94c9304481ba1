package match

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// mostExpression bounds what an expression takes in memory once it is compiled: a{1000} over and over makes 28 MB of 4 KiB, and takes a
// processor 350 ms, at the control plane and at each proxy that has it.
const mostExpression = 512 << 10

// Expression compiles a regular expression in RE2's syntax, unless it is too large.
func Expression(text string) (*regexp.Regexp, error) {
	if err := bounded(text); err != nil {
		return nil, err
	}
	return regexp.Compile(text)
}

// bounded says whether text is an expression, and not too large.
func bounded(text string) error {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return err
	}
	if steps, runes := sizeOf(re); 40*steps+4*runes > mostExpression { // syntax.Inst and rune
		return fmt.Errorf("the expression is too large: what it repeats makes some %d steps and %d characters of it", steps, runes)
	}
	return nil
}

// sizeOf is about how many instructions an expression is compiled to, and how many characters its classes are bounded by, which repetitions share.
func sizeOf(re *syntax.Regexp) (steps, runes int) {
	steps = 1
	if re.Op == syntax.OpLiteral {
		steps = len(re.Rune)
	} else {
		runes = len(re.Rune)
	}
	for _, sub := range re.Sub {
		s, r := sizeOf(sub)
		steps, runes = steps+s, runes+r
	}
	if re.Op == syntax.OpRepeat {
		steps *= max(re.Min, re.Max) + 1
	}
	return steps, runes
}
