package smtp

import "bytes"

// lineEndsMatch says whether each LF in b follows a CR, and each CR is followed by LF, but for one that b ends in. cr says
// that the octet before b was a CR. That the pairs are as many as the CRs is counted, which is quicker than to look at each.
func lineEndsMatch(b []byte, cr bool) bool {
	if len(b) == 0 {
		return true
	}
	if cr != (b[0] == '\n') {
		return false
	}
	crs := bytes.Count(b, []byte{'\r'})
	if b[len(b)-1] == '\r' {
		crs--
	}
	pairs, rest := 0, b[1:]
	for at := 1; ; at++ { // at is where rest begins
		lf := bytes.IndexByte(rest, '\n')
		if lf < 0 {
			return pairs == crs
		}
		if at += lf; b[at-1] != '\r' {
			return false
		}
		pairs, rest = pairs+1, rest[lf+1:]
	}
}
