package main

import (
	"encoding/json"
	"fmt"

	"waybill/internal/mail"
	"waybill/internal/mua"
)

// sendResult is what --json prints of a letter.
type sendResult struct {
	Sent       bool            `json:"sent"`             // everybody was accepted
	Accepted   int             `json:"accepted"`         // so many were
	Temporary  bool            `json:"temporary"`        // nobody was, but may be later
	Unknown    bool            `json:"unknown"`          // the server may have taken it or not
	Server     string          `json:"server,omitempty"` // that had the last word
	ID         mail.ID         `json:"id,omitempty"`     // the message's, at a server of our kind
	Status     *statusResult   `json:"status,omitempty"` // the reply to the dot, or the first refusal
	Recipients []recipientFate `json:"recipients"`       // as far as they came to be named
	Error      string          `json:"error,omitempty"`  // why the dialogue could not be finished
}

type recipientFate struct {
	Address mail.Address `json:"address"`
	statusResult
}

type statusResult struct {
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced,omitempty"`
	Text     string `json:"text"`
}

func resultOf(s mail.Status) statusResult { return statusResult{s.Code, s.Enhanced.String(), s.Text} }

// fate sums up what became of a letter.
func fate(letter mua.Letter, receipt mua.Receipt, err error) sendResult {
	r := sendResult{Server: receipt.Server, ID: receipt.ID, Unknown: receipt.Results.Unknown, Recipients: []recipientFate{}}
	if status := receipt.Status(); status.Code != 0 {
		short := resultOf(status)
		r.Status = &short
	}
	temporary := false
	for i := range receipt.Results.Recipients {
		status := receipt.Of(i)
		r.Recipients = append(r.Recipients, recipientFate{letter.ForwardPaths[i], resultOf(status)})
		if status.Success() {
			r.Accepted++
		}
		temporary = temporary || status.Temporary()
	}
	r.Sent = err == nil && r.Accepted == len(letter.ForwardPaths)
	if err != nil {
		r.Error, temporary = visible(explainClient(err).Error()), mua.Temporary(err)
	}
	r.Temporary = temporary && r.Accepted == 0 && !r.Unknown
	return r
}

// report tells what the server said, for each recipient that it refused.
func (c *sendCommand) report(std streams, letter mua.Letter, receipt mua.Receipt, err error) error {
	r := fate(letter, receipt, err)
	if c.JSON {
		if err := json.NewEncoder(std.out).Encode(r); err != nil {
			return err
		}
	}
	switch {
	case r.Sent && c.JSON:
		return nil
	case r.Sent:
		_, err := fmt.Fprintf(std.out, "sent: %s\n", receipt.Status())
		return err
	case r.Unknown:
		return fmt.Errorf("the connection was lost before the server said whether it took the letter; sending it again may deliver it twice: %w", explainClient(err))
	case err != nil:
		err = explainClient(err)
	case !receipt.Results.Mail.Success():
		err = refusedMail(letter, receipt.Results.Mail)
	default:
		err = c.refusals(std, letter, receipt, r)
	}
	if r.Temporary {
		return laterError{fmt.Errorf("%w; this may pass: try again later", err)}
	}
	return err
}

// refusedMail is about the sender, unless the status says that the message is too large, or of a kind that the server does not
// take (RFC 3463 §3.4, §3.7).
func refusedMail(letter mua.Letter, status mail.Status) error {
	if subject := status.Enhanced[1]; subject == 3 || subject == 6 {
		return fmt.Errorf("not sent: %s", status)
	}
	return fmt.Errorf("not sent: the server refuses the sender %s: %s", letter.ReversePath.Path(), status)
}

// refusals tells of each recipient, and sums up.
func (c *sendCommand) refusals(std streams, letter mua.Letter, receipt mua.Receipt, r sendResult) error {
	if c.JSON {
		return errReported
	}
	for i, status := range receipt.Results.Recipients {
		if status.Success() {
			continue
		}
		how := "refused for good"
		if status.Temporary() {
			how = "refused for now"
		}
		fmt.Fprintln(std.err, visible(fmt.Sprintf("%s %s: %s", letter.ForwardPaths[i], how, status)))
	}
	if r.Accepted > 0 {
		return fmt.Errorf("sent to %d of %d recipients (%s)", r.Accepted, len(letter.ForwardPaths), receipt.Results.Data)
	}
	if data := receipt.Results.Data; data.Code != 0 { // all others were accepted, until then
		return fmt.Errorf("not sent: %s", data)
	}
	return fmt.Errorf("not sent: %s", receipt.Status())
}
