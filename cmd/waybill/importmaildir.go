package main

import (
	"io"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"waybill/internal/mailbox"
	"waybill/internal/maildir"
)

// maildirSource reads a Maildir, folder after folder. A message's key is its mailbox, its name, which is unique within its
// folder and outlives changes of its flags, and its size, which tells it from one of the same name in another Maildir.
type maildirSource struct {
	dir     *maildir.Dir
	under   string // mailbox
	folders []string
	left    []maildir.Message
	mailbox string // of those
	total   int
	seen    int
}

func openMaildir(path, under string) (*maildirSource, error) {
	dir, err := maildir.Open(path)
	if err != nil {
		return nil, err
	}
	s := &maildirSource{dir: dir, under: under}
	if under != "" {
		s.under = orInbox(under)
	}
	if s.folders, err = dir.Folders(); err != nil {
		return nil, err
	}
	for _, f := range s.folders {
		messages, _ := dir.Messages(f) // what is wrong with it will be told when it is its turn
		s.total += len(messages)
	}
	return s, nil
}

func (s *maildirSource) Close() error { return s.dir.Close() }

func (s *maildirSource) Next() (found, error) {
	for len(s.left) == 0 {
		if len(s.folders) == 0 {
			return found{}, io.EOF
		}
		folder := s.folders[0]
		s.folders = s.folders[1:]
		s.mailbox = s.mailboxOf(folder)
		err := mailbox.CheckName(s.mailbox)
		if err == nil {
			s.left, err = s.dir.Messages(folder)
		}
		if err != nil {
			return found{where: "folder " + folder, err: err}, nil
		}
	}
	m := s.left[0]
	s.left = s.left[1:]
	s.seen++
	return s.message(m), nil
}

func (s *maildirSource) message(m maildir.Message) found {
	f := found{where: m.Path(), done: float64(s.seen) / float64(max(s.total, s.seen))}
	info, err := s.dir.Stat(m)
	if err != nil {
		f.err = err
		return f
	}
	f.Key = "maildir/" + s.mailbox + "/" + url.PathEscape(m.Name) + "/" + strconv.FormatInt(info.Size(), 10)
	f.Mailbox, f.Flags, f.Date = s.mailbox, maildirFlags(m.Flags), info.ModTime()
	f.open = func() (io.ReadCloser, error) { return s.dir.OpenMessage(m) }
	return f
}

// mailboxOf is the mailbox of a folder.
func (s *maildirSource) mailboxOf(folder string) string {
	if folder == "" {
		return orInbox(s.under)
	}
	name := boxName(maildir.NameOf(folder))
	if s.under != "" {
		name = s.under + mailbox.Separator + name
	}
	return orInbox(name)
}

// boxName is the name of a folder as a mailbox can have it: without empty levels, and with "_" for what it may not have.
// Two folders may so become one mailbox; their messages are all there.
func boxName(folder string) string {
	var levels []string
	for level := range strings.SplitSeq(strings.ToValidUTF8(folder, "_"), "/") {
		level = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || r == '%' || r == '*' {
				return '_'
			}
			return r
		}, level)
		if level != "" {
			levels = append(levels, level)
		}
	}
	if len(levels) == 0 {
		return "_"
	}
	return strings.Join(levels, mailbox.Separator)
}

// maildirLetters are the flags as a Maildir has them, in the order that it wants. "P", passed on, has none of ours.
var maildirLetters = []letter{{"D", mailbox.Draft}, {"F", mailbox.Flagged}, {"R", mailbox.Answered}, {"S", mailbox.Seen}, {"T", mailbox.Deleted}}

// letter stands for a flag, or for several.
type letter struct {
	letters string
	flag    mailbox.Flags
}

func maildirFlags(text string) mailbox.Flags { return flagsOf(maildirLetters, text) }

// flagsOf are the flags of which a letter is in the text.
func flagsOf(letters []letter, text string) (flags mailbox.Flags) {
	for _, l := range letters {
		if strings.Contains(text, l.letters[:1]) {
			flags |= l.flag
		}
	}
	return flags
}

// lettersOf are the letters of flags.
func lettersOf(letters []letter, flags mailbox.Flags) (text string) {
	for _, l := range letters {
		if flags&l.flag != 0 {
			text += l.letters
		}
	}
	return text
}
