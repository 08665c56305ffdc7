package logs

import (
	"unicode"
	"unicode/utf8"
)

// AppendVisible appends text so that a terminal only shows it: control
// characters other than tab, bytes that are not UTF-8, and characters that
// change the direction of writing become \xNN or \uNNNN.
func AppendVisible(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			dst = appendHex(append(dst, '\\', 'x'), uint32(text[0]), 2)
		case r == '\t' || !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			dst = append(dst, text[:n]...)
		case r < utf8.RuneSelf:
			dst = appendHex(append(dst, '\\', 'x'), uint32(r), 2)
		case r > 0xffff:
			dst = appendHex(append(dst, '\\', 'U'), uint32(r), 8)
		default:
			dst = appendHex(append(dst, '\\', 'u'), uint32(r), 4)
		}
		text = text[n:]
	}
	return dst
}

func appendHex(dst []byte, v uint32, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, "0123456789abcdef"[v>>(4*i)&15])
	}
	return dst
}
