package maildir

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// mutf7 is the base64 of modified UTF-7 (RFC 9051 §A.1), in which Courier and Dovecot write what is not ASCII in the names
// of folders.
var mutf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// FolderOf is the directory of a folder whose name has "/" between levels; "" for "". A dot within a level is written in
// base64, as it would part levels.
func FolderOf(name string) string {
	if name == "" {
		return ""
	}
	var b strings.Builder
	for level := range strings.SplitSeq(name, "/") {
		b.WriteByte('.')
		encodeLevel(&b, level)
	}
	return b.String()
}

// encodeLevel writes a level in modified UTF-7.
func encodeLevel(b *strings.Builder, level string) {
	var units []uint16 // that are to be written in base64
	flush := func() {
		if len(units) == 0 {
			return
		}
		octets := make([]byte, 0, 2*len(units))
		for _, u := range units {
			octets = append(octets, byte(u>>8), byte(u))
		}
		b.WriteString("&" + mutf7.EncodeToString(octets) + "-")
		units = nil
	}
	for _, r := range level {
		switch {
		case r < ' ' || r > '~' || r == '.':
			units = utf16.AppendRune(units, r)
		case r == '&':
			flush()
			b.WriteString("&-")
		default:
			flush()
			b.WriteRune(r)
		}
	}
	flush()
}

// NameOf is the name of a folder by its directory, with "/" between levels. A level that is not in modified UTF-7 is left as
// it is: some programs write UTF-8. The name may be anything: levels may be empty or have control characters.
func NameOf(folder string) string {
	levels := strings.Split(strings.TrimPrefix(folder, "."), ".")
	for i, level := range levels {
		if decoded, ok := decodeLevel(level); ok {
			levels[i] = decoded
		}
	}
	return strings.Join(levels, "/")
}

// decodeLevel reads modified UTF-7; ok is false if it is none, or hides a separator.
func decodeLevel(level string) (decoded string, ok bool) {
	var b strings.Builder
	for {
		plain, rest, more := strings.Cut(level, "&")
		b.WriteString(plain)
		if !more {
			return b.String(), true
		}
		code, after, ended := strings.Cut(rest, "-")
		if !ended {
			return "", false
		}
		text := "&"
		if code != "" {
			if text, ok = decodeUnits(code); !ok {
				return "", false
			}
		}
		b.WriteString(text)
		level = after
	}
}

func decodeUnits(code string) (string, bool) {
	octets, err := mutf7.Strict().DecodeString(code)
	if err != nil || len(octets)%2 != 0 {
		return "", false
	}
	units := make([]uint16, len(octets)/2)
	for i := range units {
		units[i] = uint16(octets[2*i])<<8 | uint16(octets[2*i+1])
	}
	text := string(utf16.Decode(units))
	return text, !strings.ContainsRune(text, '/') && !strings.ContainsRune(text, utf8.RuneError)
}
