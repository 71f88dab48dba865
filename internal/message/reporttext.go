package message

import (
	"bytes"
	"fmt"
	"strings"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// text is the part for a person: for each recipient what happened, why, in whose words, and what to do.
func (r Report) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "This is the mail server %s. %s\n", helloWord(r.ReportingMTA), r.opening())
	for _, p := range r.Recipients {
		b.WriteString("\n")
		p.write(&b)
	}
	b.WriteString("\nThe message\n")
	for _, name := range []string{"Subject", "Date", "Message-ID"} {
		if value := First(r.Header, name); value != "" {
			row(&b, name, dialogue.Printable(decode(value)))
		}
	}
	if !r.ArrivalDate.IsZero() {
		row(&b, "Arrived here", dateTime(r.ArrivalDate))
	}
	if r.Original != "" {
		row(&b, "Waybill", fmt.Sprintf("%s (the postmaster of %s can see every step with it)", r.Original, helloWord(r.ReportingMTA)))
	}
	b.WriteString("\nNobody reads answers to this report.\n")
	return crlf(b.Bytes())
}

func (r Report) opening() string {
	switch {
	case r.all(ActionDelivered):
		return "Your message was delivered."
	case r.all(ActionRelayed):
		return "Your message was\npassed on to a server that does not report on it any further."
	case r.all(ActionExpanded):
		return "Your message was\npassed on to the several addresses that stand behind the one you wrote to."
	case r.all(ActionDelayed):
		return "Your message could not be\ndelivered yet. You need not do anything: it is tried again."
	case r.all(ActionFailed):
		return "Your message could not be\ndelivered to every address, and is not tried again."
	}
	return "This became of your message."
}

// results are what the text calls each Action.
var results = map[Action]string{
	ActionFailed: "not delivered", ActionDelayed: "not delivered yet", ActionDelivered: "delivered", ActionRelayed: "passed on",
	ActionExpanded: "passed on to several addresses",
}

// write tells about one recipient.
func (p ReportRecipient) write(b *bytes.Buffer) {
	row(b, "To", dialogue.Printable(p.known()))
	row(b, "Result", results[p.Action])
	switch {
	case p.Action == ActionDelivered:
		return
	case p.Action == ActionRelayed:
		row(b, "To server", helloWord(p.RemoteMTA)+", which does not say that it sends reports of delivery: you may hear no more.")
		return
	case p.Action == ActionExpanded:
		row(b, "From here on", "You are not told of each address that gets it, only of what fails, as far as you asked for that.")
		return
	}
	cause, advice := Meaning(p.Status)
	if p.Action == ActionDelayed {
		advice = "Nothing: it is tried again."
		if !p.RetryUntil.IsZero() {
			advice = "Nothing: it is tried again until " + dateTime(p.RetryUntil) + "."
		}
	}
	row(b, "Reason", cause)
	if explanation := p.explanation(); explanation != "" {
		row(b, "", sentence(dialogue.Printable(explanation)))
	}
	switch {
	case p.RemoteMTA != "" && p.Diagnostic.Code != 0:
		row(b, "Words", "the server "+helloWord(p.RemoteMTA)+" said: "+said(p.Diagnostic))
	case p.Explanation == "" && p.Status.Code != 0: // else it is told above
		row(b, "Status", said(p.Status))
	}
	row(b, "What to do", advice)
	if !p.LastAttempt.IsZero() {
		row(b, "Last try", dateTime(p.LastAttempt))
	}
}

// known is the address that the sender knows.
func (p ReportRecipient) known() string {
	switch {
	case p.ORCPT.Address != "":
		return p.ORCPT.Address
	case !p.Original.IsNull():
		return p.Original.String()
	}
	return p.ForwardPath.String()
}

// explanation is the Explanation up to where it repeats the Diagnostic, which stands below it as the host's words.
func (p ReportRecipient) explanation() string {
	if p.Diagnostic.Code == 0 {
		return p.Explanation
	}
	before, _, repeats := strings.Cut(p.Explanation, p.Diagnostic.String())
	if end := strings.LastIndexByte(before, ';'); repeats && end > 0 {
		return before[:end]
	}
	return p.Explanation
}

// sentence begins with a capital letter, unless it begins with a name, and ends with a full stop.
func sentence(text string) string {
	text = strings.TrimRight(text, ".") + "."
	if word, _, _ := strings.Cut(text, " "); text[0] < 'a' || text[0] > 'z' || strings.ContainsAny(word, ".@<[:") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// said is a status, bounded and on one line.
func said(status mail.Status) string { return clip(status.String()) }

// clip bounds a stranger's words and keeps them on one line.
func clip(text string) string {
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return dialogue.Printable(text)
}

// The text is narrow enough that quoted-printable need not break its lines.
const (
	labelWidth = 16
	textWidth  = 72
)

// row writes a label and a text, wrapped and aligned.
func row(b *bytes.Buffer, label, text string) {
	if label != "" {
		label += ":"
	}
	fmt.Fprintf(b, "  %-*s", labelWidth-2, label)
	column := labelWidth
	for i, word := range strings.Fields(text) {
		width := len([]rune(word))
		switch {
		case i == 0:
		case column+1+width > textWidth:
			fmt.Fprintf(b, "\n%*s", labelWidth, "")
			column = labelWidth
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += width
	}
	b.WriteByte('\n')
}
