package objects

import (
	"context"
	"errors"
	"time"

	"github.com/minio/minio-go/v7"
)

// Create writes a small object unless it is there, in one step of the server's (If-None-Match: *). sure is false where the server turns out
// not to know that condition: then the object was written whatever was there, and another's write may follow ours, or have been
// overwritten by it. Errors: those of Put; ErrExists, also after a reply that was lost to a write of our own.
func (b *Bucket) Create(ctx context.Context, key string, data []byte) (sure bool, err error) {
	var o minio.PutObjectOptions
	o.SetMatchETagExcept("*")
	refused := false
	unknown := func(err error) bool {
		refused = minio.ToErrorResponse(err).Code == "NotImplemented"
		return refused
	}
	if err := b.put(ctx, key, data, o, unknown); err != nil {
		return false, err
	}
	if refused {
		return false, b.put(ctx, key, data, minio.PutObjectOptions{}, nil)
	}
	// A server that ignores the condition takes the same again.
	err = b.put(ctx, key, data, o, nil)
	if errors.Is(err, ErrExists) {
		return true, nil
	}
	return false, err
}

// CallTime is how long a call other than Put takes at most; Create makes two.
func (b *Bucket) CallTime() time.Duration { return b.o.Timeout + b.o.Timeout/2 }
