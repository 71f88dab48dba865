package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// errorTrailer follows an archive that is not complete, and says why.
const errorTrailer = "Waybill-Error"

// backups answers with an archive.
func backups(node Node) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-tar")
		w.Header().Set("Trailer", errorTrailer)
		if err := node.Backup(r.Context(), w); err != nil {
			w.Header().Set(errorTrailer, url.PathEscape(err.Error()))
		}
	}
}

// Backup implements Node.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	resp, err := c.post(ctx, pathBackup, []byte("{}"))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		_, err := readAnswer[nothing](resp)
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", errBrokenOff, err)
	}
	if said, e := url.PathUnescape(resp.Trailer.Get(errorTrailer)); err == nil && e == nil && said != "" {
		return errors.New(said)
	}
	return err
}
