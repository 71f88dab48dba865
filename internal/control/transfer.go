package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"

	"waybill/internal/mail"
)

// A message that is imported is a part of a multipart body: what is known of it in this field, its content behind it.
const (
	messageField = "Waybill-Message"
	accountField = "Waybill-Account"
)

// endField is a trailer behind a message that is exported: the status with which its reading ended, for damage may turn up on
// the way.
const endField = "Waybill-End"

// importing files the messages of a request as they come.
func importing(node Node) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var account mail.Address
		parts, err := r.MultipartReader()
		if err == nil {
			err = account.UnmarshalText([]byte(r.Header.Get(accountField)))
		}
		if err != nil {
			reply(w, http.StatusBadRequest, errorReply{"the request cannot be read"})
			return
		}
		n, err := node.Import(r.Context(), account, func() (m ImportMessage, err error) {
			part, err := parts.NextRawPart()
			if err != nil {
				return m, err
			}
			m.Content = part
			return m, json.Unmarshal([]byte(part.Header.Get(messageField)), &m)
		})
		if err != nil {
			reply(w, http.StatusUnprocessableEntity, errorReply{err.Error()})
			return
		}
		reply(w, http.StatusOK, n)
	}
}

// contents answers with a message.
func contents(node Node) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q ExportQuery
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&q); err != nil {
			reply(w, http.StatusBadRequest, errorReply{"the request cannot be read"})
			return
		}
		content, err := node.Content(r.Context(), q)
		if err != nil {
			reply(w, statusOf(err), errorReply{err.Error()})
			return
		}
		defer content.Close()
		w.Header().Set("Content-Type", "message/rfc822")
		w.Header().Set("Trailer", endField)
		end := http.StatusOK
		from := &watched{r: content}
		if _, err := io.Copy(w, from); err != nil && from.err == nil {
			panic(http.ErrAbortHandler) // so that the client sees that it has not all of it
		}
		if from.err != nil {
			end = statusOf(from.err)
		}
		w.Header().Set(endField, strconv.Itoa(end))
	}
}

// watched keeps the error with which reading ended, to tell it from one of writing.
type watched struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (f *watched) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != io.EOF {
		f.err = err
	}
	return n, err
}

// statusOf tells the errors of Content apart.
func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrGone):
		return http.StatusGone
	case errors.Is(err, ErrDamaged):
		return http.StatusInternalServerError
	}
	return http.StatusUnprocessableEntity
}

// Imported implements Node.
func (c *Client) Imported(ctx context.Context, account mail.Address, keys []string) ([]bool, error) {
	return ask[[]bool](ctx, c, pathImported, imported{account, keys})
}

// Import implements Node.
func (c *Client) Import(ctx context.Context, account mail.Address, next func() (ImportMessage, error)) (n int, err error) {
	body, out := io.Pipe()
	parts := multipart.NewWriter(out)
	var ours error
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		ours = errors.Join(sendParts(parts, next), parts.Close())
		out.CloseWithError(ours)
	}()
	defer func() {
		body.CloseWithError(io.ErrClosedPipe)
		<-sent
		if ours != nil && !errors.Is(ours, io.ErrClosedPipe) {
			err = ours // what went wrong first
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://waybill"+pathImport, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", parts.FormDataContentType())
	req.Header.Set(accountField, account.String())
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	return readAnswer[int](resp)
}

func sendParts(parts *multipart.Writer, next func() (ImportMessage, error)) error {
	for {
		m, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		about, err := json.Marshal(m)
		if err != nil {
			return err
		}
		part, err := parts.CreatePart(textproto.MIMEHeader{messageField: {string(about)}})
		if err != nil {
			return err
		}
		if _, err := io.Copy(part, m.Content); err != nil {
			return fmt.Errorf("read %s: %w", m.Key, err)
		}
	}
}

// Export implements Node.
func (c *Client) Export(ctx context.Context, q ExportQuery) (ExportPage, error) {
	return ask[ExportPage](ctx, c, pathExport, q)
}

// Content implements Node.
func (c *Client) Content(ctx context.Context, q ExportQuery) (io.ReadCloser, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	resp, err := c.post(ctx, pathContent, body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_, err := readAnswer[nothing](resp)
		if told := errorOf(resp.StatusCode); told != nil {
			err = told
		}
		return nil, err
	}
	return &received{resp}, nil
}

// errorOf is the error of Content that a status tells, or nil if it tells none.
func errorOf(status int) error {
	switch status {
	case http.StatusGone:
		return ErrGone
	case http.StatusInternalServerError:
		return ErrDamaged
	}
	return nil
}

// received is a message that is exported, which ends well only if the server said so behind it.
type received struct{ resp *http.Response }

// Read implements io.Reader.
func (r *received) Read(p []byte) (int, error) {
	n, err := r.resp.Body.Read(p)
	if err != io.EOF {
		return n, err
	}
	end, _ := strconv.Atoi(r.resp.Trailer.Get(endField))
	if end == http.StatusOK {
		return n, io.EOF
	}
	if err = errorOf(end); err == nil {
		err = fmt.Errorf("the message broke off: %w", io.ErrUnexpectedEOF)
	}
	return n, err
}

// Close implements io.Closer.
func (r *received) Close() error { return r.resp.Body.Close() }
