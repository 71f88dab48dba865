package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"waybill/internal/verify"
)

// found is a line of the answer to pathVerify: how far it is, and in the last one the report or the error.
type found struct {
	Report verify.Report `json:"report"`
	Done   bool          `json:"done"`
	Error  string        `json:"error,omitempty"`
}

// verifying answers with a line now and then: it may take long, and whoever waits can see that it goes on.
func verifying(node Node) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		lines, flush := json.NewEncoder(w), http.NewResponseController(w)
		var last time.Time
		report, err := node.Verify(r.Context(), func(so verify.Report) {
			if time.Since(last) < time.Second/4 {
				return
			}
			last = time.Now()
			so.Findings = nil
			lines.Encode(found{Report: so})
			flush.Flush()
		})
		end := found{Report: report, Done: true}
		if err != nil {
			end.Error = err.Error()
		}
		lines.Encode(end)
	}
}

// errBrokenOff: the server ended in the middle of an answer.
var errBrokenOff = errors.New("the server broke off its answer")

// Verify implements Node.
func (c *Client) Verify(ctx context.Context, progress func(verify.Report)) (verify.Report, error) {
	resp, err := c.post(ctx, pathVerify, []byte("{}"))
	if err != nil {
		return verify.Report{}, err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var f found
		if err := lines.Decode(&f); err != nil {
			return verify.Report{}, errors.Join(errBrokenOff, err)
		}
		switch {
		case f.Done && f.Error != "":
			return f.Report, errors.New(f.Error)
		case f.Done:
			return f.Report, nil
		case progress != nil:
			progress(f.Report)
		}
	}
}
