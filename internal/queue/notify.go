package queue

import (
	"fmt"
	"strings"
	"time"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

// notice is what the sender is to be told about a recipient.
type notice struct {
	result
	action message.Action
}

// notices are what the sender is told of a task's outcomes. What the sender is not told, although it is worth a word,
// is said in s.
func (q *Queue) notices(s *settlement, v verdicts, now time.Time) (told []notice) {
	for _, r := range v.failed {
		switch rule := unwanted(s.item, r.recipient, mail.NotifyFailure); {
		case r.untold != "":
			q.suppressed(s, r.recipient, r.untold, now)
		case rule != "":
			q.suppressed(s, r.recipient, rule, now)
		default:
			told = append(told, notice{r, message.ActionFailed})
		}
	}
	for _, r := range v.done {
		switch {
		case s.item.Recipients[r.recipient].Report.Notify&mail.NotifySuccess == 0:
		case s.item.Recipients[r.recipient].Expanded:
			told = append(told, notice{r, message.ActionExpanded})
		case s.task.nextHop == localHop:
			told = append(told, notice{r, message.ActionDelivered})
		case r.passed:
			q.suppressed(s, r.recipient, fmt.Sprintf("%s offers DSN and took NOTIFY over, so it reports the success (RFC 3461 §5.2.1)", r.host), now)
		default:
			told = append(told, notice{r, message.ActionRelayed})
		}
	}
	return told
}

// unwanted is the rule by which the sender is not told of something; "" if there is none. Who said nothing hears of
// failures and delays (RFC 3461 §4.1).
func unwanted(item *spool.Item, recipient int, about mail.Notify) string {
	notify := item.Recipients[recipient].Report.Notify
	if notify == 0 || notify&about != 0 {
		return ""
	}
	return "the sender asked for no such report (" + notifyWords(notify) + ")"
}

// notifyWords is a NOTIFY as the sender said it.
func notifyWords(n mail.Notify) string {
	var words []string
	for _, w := range []struct {
		notify mail.Notify
		word   string
	}{{mail.NotifyNever, "NEVER"}, {mail.NotifySuccess, "SUCCESS"}, {mail.NotifyFailure, "FAILURE"}, {mail.NotifyDelay, "DELAY"}} {
		if n&w.notify != 0 {
			words = append(words, w.word)
		}
	}
	return "NOTIFY=" + strings.Join(words, ",")
}

func (q *Queue) suppressed(s *settlement, recipient int, rule string, now time.Time) {
	ev := q.recipientEvent(s.item, trail.Suppressed, now, recipient)
	ev.Text = "nobody is told: " + rule
	s.events = append(s.events, ev)
}

// late says whether the sender is to hear of recipients that are pending at this age of a message, if that was not
// decided already. Nobody waits for a message with a null reverse-path.
func (q *Queue) late(item *spool.Item, now time.Time) bool {
	return q.DelayAfter > 0 && now.Sub(item.Accepted) >= q.DelayAfter && !item.ReversePath.IsNull()
}

// delays returns those of the round's deferred recipients that the sender is told of: each once, which its DelayTold
// notes. To be called when the round ends, so that one DSN tells of all.
func (q *Queue) delays(s *settlement, deferred []result, now time.Time) (told []notice) {
	if !q.late(s.item, now) {
		return nil
	}
	for _, r := range deferred {
		recipient := &s.item.Recipients[r.recipient]
		if recipient.DelayTold || !isPending(*recipient) {
			continue
		}
		recipient.DelayTold = true
		if rule := unwanted(s.item, r.recipient, mail.NotifyDelay); rule != "" {
			q.suppressed(s, r.recipient, "it is late, but "+rule, now)
			continue
		}
		told = append(told, notice{r, message.ActionDelayed})
	}
	return told
}
