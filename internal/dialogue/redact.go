package dialogue

import "strings"

// Redacted stands for what must not be written down.
const Redacted = "***"

// RedactAuth returns an AUTH command with those arguments (RFC 4954 §4, RFC 5034 §4) as it may be shown: the mechanism, if it is
// one, and nothing else. What stands in its place may be a password.
func RedactAuth(arguments []string) string {
	if len(arguments) == 0 {
		return "AUTH"
	}
	switch mechanism := strings.ToUpper(arguments[0]); mechanism {
	case "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "NTLM":
		if len(arguments) > 1 {
			return "AUTH " + mechanism + " " + Redacted
		}
		return "AUTH " + mechanism
	}
	return "AUTH " + Redacted
}
