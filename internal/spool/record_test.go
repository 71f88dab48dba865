package spool

import (
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store/record"
)

// plain is the item of testdata/format-1.hex, which the version before format 2 wrote.
func plain() *Item {
	item := newItem(began.Add(time.Hour).Truncate(time.Microsecond), "a", "b", "c")
	item.Accepted, item.Expires = item.Accepted.Truncate(time.Microsecond), item.Expires.Truncate(time.Microsecond)
	item.ID = ""
	item.Body.PrefixSize, item.Body.Size = 15, 70000
	item.Body.ID[0], item.Body.ID[15] = 1, 0xff
	item.Attempts = 3
	item.Recipients[0].State, item.Recipients[0].Status = Delivered, done
	item.Recipients[1].Original, item.Recipients[1].Status = address("alias"), later
	item.Recipients[2].State, item.Recipients[2].Status = Failed, mail.NewStatus(550, "", "no")
	return item
}

// wishful is an item that has everything.
func wishful() *Item {
	item := plain()
	item.UTF8 = true
	item.DSN = mail.DSN{Return: mail.ReturnHeader, EnvelopeID: "QQ=314+159"}
	item.Recipients[0].Report = mail.Report{Notify: mail.NotifyNever}
	item.Recipients[1].DelayTold = true
	item.Recipients[2].Report = mail.Report{
		Notify:   mail.NotifySuccess | mail.NotifyFailure | mail.NotifyDelay,
		Original: mail.OriginalRecipient{Type: "utf-8", Address: "jürgen@example.test"},
	}
	return item
}

// Two adjacent versions share a store: records of the one before are read, and it reads all that need nothing new.
func TestFormat1(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/format-1.hex")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	item, err := Decode(golden)
	if err != nil || !reflect.DeepEqual(item, plain()) {
		t.Errorf("read\n%+v, want\n%+v, %v", item, plain(), err)
	}
	if got := plain().encode(); hex.EncodeToString(got) != hex.EncodeToString(golden) {
		t.Errorf("an item that needs nothing new is written as\n%x, want\n%x", got, golden)
	}
	golden[len(golden)-24] |= hasNotify // the flags of the last recipient
	if item, err := Decode(golden); !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("format 1 with a flag of format 2 is read as %+v, %v", item, err)
	}
}

// An expanded alias needs format 4, which no other item is written in, and no other format has it.
func TestFormat4(t *testing.T) {
	t.Parallel()
	item := wishful()
	item.Recipients[1].Sender = address("srs")
	if format := item.encode()[0]; format != format3 {
		t.Errorf("without it: format %d", format)
	}
	item.Recipients[2].Expanded = true
	item.Recipients[0].Report.Notify, item.Recipients[0].Expanded = 0, true
	value := item.encode()
	if again, err := Decode(value); err != nil || value[0] != format4 || !reflect.DeepEqual(again, item) {
		t.Errorf("read\n%+v, want\n%+v, %v", again, item, err)
	}
	value[0] = format3
	if item, err := Decode(value); !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("format 3 with a bit of format 4 is read as %+v, %v", item, err)
	}
}

func TestFormat2(t *testing.T) {
	t.Parallel()
	some := map[string]func(*Item){
		"all":          func(i *Item) { *i = *wishful() },
		"SMTPUTF8":     func(i *Item) { i.UTF8 = true },
		"RET=FULL":     func(i *Item) { i.DSN.Return = mail.ReturnFull },
		"RET=HDRS":     func(i *Item) { i.DSN.Return = mail.ReturnHeader },
		"ENVID":        func(i *Item) { i.DSN.EnvelopeID = "x" },
		"NOTIFY=NEVER": func(i *Item) { i.Recipients[0].Report.Notify = mail.NotifyNever },
		"NOTIFY=DELAY": func(i *Item) { i.Recipients[2].Report.Notify = mail.NotifyDelay },
		"ORCPT": func(i *Item) {
			i.Recipients[1].Report.Original = mail.OriginalRecipient{Type: "rfc822", Address: "a@b.test"}
		},
		"delay told": func(i *Item) { i.Recipients[1].DelayTold = true },
	}
	for name, change := range some {
		item := plain()
		change(item)
		value := item.encode()
		if value[0] != format2 {
			t.Errorf("%s: format %d", name, value[0])
		}
		if again, err := Decode(value); err != nil || !reflect.DeepEqual(again, item) {
			t.Errorf("%s: read\n%+v, want\n%+v, %v", name, again, item, err)
		}
	}
	item := plain()
	item.Recipients[0].Report.Notify = mail.NotifyNever
	if more := len(item.encode()) - len(plain().encode()); more != 2 { // the item's flags and the octet of NOTIFY
		t.Errorf("NOTIFY takes %d octets", more)
	}
}
