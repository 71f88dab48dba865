package explain

import (
	"encoding/json"
	"io"

	"waybill/internal/trail"
)

type Options struct {
	Color bool
	Width int
}

func Render(w io.Writer, events []trail.Event, o Options) error {
	for _, e := range events {
		json.NewEncoder(w).Encode(e)
	}
	return nil
}
