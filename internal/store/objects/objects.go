// Package objects is one bucket of an S3-compatible object store, as bodies need it: small objects that are written once, read
// as a whole, listed and deleted.
//
// An object is its data and four octets after them: the CRC-32C of its key and the data, so that what is damaged on the way
// or in the store, cut off, or another object, is never taken for it. On the way in the server is told the SHA-256 of all of it, which the
// signature of the request covers over HTTP and HTTPS alike: a server that checks it refuses what was damaged.
//
// Each request has a bounded time; what may pass is tried again, a few times, after pauses. While the store keeps failing,
// requests fail at once but for one now and then that tries: nobody waits for a store that is away, and it is used again as soon as it is back. The log
// has one line when that begins, one when the reason changes, and one when it is over. It is kept apart for writing, reading
// and deleting: a full store can still be read.
package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

var (
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("object not found")
	// ErrCorrupt: an object is not as it was written.
	ErrCorrupt = errors.New("object is damaged")
	// ErrExists: there is such an object already.
	ErrExists = errors.New("object exists already")
	// ErrUnavailable: the store cannot be used now, for whatever reason; the text says what to do.
	ErrUnavailable = errors.New("the object store cannot be used")
)

// Options is what a Bucket is made of.
type Options struct {
	Endpoint *url.URL // http or https, with a host and no path
	Region   string
	Bucket   string
	Prefix   string // of all keys; "" or ending in a slash
	Keys     Keys
	Logger   *slog.Logger
	// RootCAs may have signed the server's certificate; nil: those that the system knows.
	RootCAs *x509.CertPool
	// Timeout bounds each request; default 20 s. With its repetitions a call takes at most half as long again.
	Timeout time.Duration
	// Pauses are how long to wait before a request is repeated, and for each of them there is one repetition; default 0.1 s and 0.5 s.
	Pauses []time.Duration
	// QueueTime bounds how long a write waits for others before its own time begins; default 60 s.
	QueueTime time.Duration
}

// Defaults of Options.
const (
	DefaultRegion  = "us-east-1"
	defaultTimeout = 20 * time.Second
	defaultQueue   = 60 * time.Second
)

// Bucket is a bucket. It is safe for concurrent use.
type Bucket struct {
	client  *minio.Core
	o       Options
	writing *breaker
	reading *breaker
	pruning *breaker // deletes
	puts    *queue
}

// Open makes a Bucket. It asks nothing of the server: that may be away.
func Open(o Options) (*Bucket, error) {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Pauses == nil {
		o.Pauses = []time.Duration{100 * time.Millisecond, 500 * time.Millisecond}
	}
	if o.QueueTime == 0 {
		o.QueueTime = defaultQueue
	}
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	client, err := minio.NewCore(o.Endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.Keys.Access, o.Keys.Secret, ""), Secure: o.Endpoint.Scheme == "https",
		Transport: newTransport(o), Region: o.Region, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", o.Endpoint.Host, err)
	}
	b := &Bucket{client: client, o: o}
	b.writing, b.reading, b.pruning = b.newBreaker("writes"), b.newBreaker("reads"), b.newBreaker("deletions")
	b.puts = newQueue(b.String(), o)
	return b, nil
}

// String names the bucket, for people.
func (b *Bucket) String() string {
	return "s3://" + b.o.Bucket + "/" + b.o.Prefix + " at " + b.o.Endpoint.Host
}

const sumSize = 4 // octets after an object's data

func sumOf(key string, data []byte) (sum [sumSize]byte) {
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.BigEndian.PutUint32(sum[:], crc32.Update(crc32.Checksum([]byte(key), table), table, data))
	return sum
}

// Put writes an object, which it replaces if it is there. When it returns nil the server has said that it has stored it. While many others are under
// way it waits for its turn; where that does not come the error is ErrUnavailable, which says nothing against the store.
func (b *Bucket) Put(ctx context.Context, key string, data []byte) error {
	if err := b.writing.refuses(); err != nil { // nobody waits for a store that is away
		return fmt.Errorf("write %s: %w: %w", key, ErrUnavailable, err)
	}
	if err := b.puts.enter(ctx); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	defer b.puts.leave()
	return b.put(ctx, key, data, minio.PutObjectOptions{}, nil)
}

// put writes an object; what the server refuses in one of the ways that lenient knows is no failure.
func (b *Bucket) put(ctx context.Context, key string, data []byte, o minio.PutObjectOptions, lenient func(error) bool) error {
	sum := sumOf(key, data)
	hash := sha256.New()
	hash.Write(data)
	hash.Write(sum[:])
	want := hex.EncodeToString(hash.Sum(nil))
	o.ContentType, o.DisableContentSha256 = contentType, true // in pieces, that is: over HTTP too want is sent
	return b.do(ctx, b.writing, "write", key, func(ctx context.Context) error {
		// No seeker, so that the library does not repeat the request behind our back.
		body := &loan{r: io.MultiReader(bytes.NewReader(data), bytes.NewReader(sum[:]))}
		defer body.end()
		info, err := b.client.PutObject(ctx, b.o.Bucket, b.o.Prefix+key, body, int64(len(data)+len(sum)), "", want, o)
		switch {
		case err == nil && info.ETag == "":
			return errors.New(`it says "OK" to a write without naming an ETag, so this is no S3`)
		case err != nil && lenient != nil && lenient(err):
			return nil
		}
		return err
	})
}

const contentType = "application/octet-stream"

// Get reads an object whose data are as long as into. Errors: ErrNotFound, ErrCorrupt, ErrUnavailable.
func (b *Bucket) Get(ctx context.Context, key string, into []byte) error {
	return b.do(ctx, b.reading, "read", key, func(ctx context.Context) error {
		body, info, _, err := b.client.GetObject(ctx, b.o.Bucket, b.o.Prefix+key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size != int64(len(into)+sumSize) {
			return fmt.Errorf("it has %d octets, not %d: %w", info.Size-sumSize, len(into), ErrCorrupt)
		}
		var sum [sumSize]byte
		if _, err := io.ReadFull(body, into); err != nil {
			return err
		}
		if _, err := io.ReadFull(body, sum[:]); err != nil {
			return err
		}
		if sum != sumOf(key, into) {
			return fmt.Errorf("its checksum is another one: %w", ErrCorrupt)
		}
		return nil
	})
}

// GetEnd reads the last octets of an object that has size octets of data, as many as into has room for. They are not held against the checksum, which is
// that of the whole. Errors: those of Get.
func (b *Bucket) GetEnd(ctx context.Context, key string, size int64, into []byte) error {
	return b.do(ctx, b.reading, "read the end of", key, func(ctx context.Context) error {
		var o minio.GetObjectOptions
		if err := o.SetRange(size-int64(len(into)), size-1); err != nil {
			return err
		}
		body, info, _, err := b.client.GetObject(ctx, b.o.Bucket, b.o.Prefix+key, o)
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size != int64(len(into)) {
			return fmt.Errorf("of its last %d octets there are %d: %w", len(into), info.Size, ErrCorrupt)
		}
		_, err = io.ReadFull(body, into)
		return err
	})
}

// Delete removes an object, which need not be there.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	err := b.do(ctx, b.pruning, "delete", key, func(ctx context.Context) error {
		return b.client.RemoveObject(ctx, b.o.Bucket, b.o.Prefix+key, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Object is an object in a listing.
type Object struct {
	Key      string
	Size     int64 // octets of its data
	Modified time.Time
}

// maxPage bounds a listing; it is what servers give at once.
const maxPage = 1000

// List returns the objects whose keys begin with prefix and come after the key after, in the order of their keys, and at most 1,000
// of them: if there are as many, more may follow.
func (b *Bucket) List(ctx context.Context, prefix, after string) (found []Object, more bool, err error) {
	err = b.do(ctx, b.reading, "list", prefix, func(ctx context.Context) error {
		found = found[:0]
		o := minio.ListObjectsOptions{Prefix: b.o.Prefix + prefix, Recursive: true, MaxKeys: maxPage}
		if after != "" {
			o.StartAfter = b.o.Prefix + after
		}
		for x := range b.client.ListObjectsIter(ctx, b.o.Bucket, o) {
			if x.Err != nil {
				return x.Err
			}
			key, ok := strings.CutPrefix(x.Key, b.o.Prefix)
			if !ok {
				return fmt.Errorf("it lists %q, which was not asked for", shorten(x.Key))
			}
			found = append(found, Object{Key: key, Size: x.Size - sumSize, Modified: x.LastModified})
			if len(found) == maxPage {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return found, len(found) == maxPage, nil
}

// do makes a request, and again what may pass.
func (b *Bucket) do(ctx context.Context, state *breaker, verb, key string, request func(context.Context) error) error {
	trial, err := state.enter()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %w", verb, key, ErrUnavailable, err)
	}
	within, cancel := context.WithTimeout(ctx, b.o.Timeout+b.o.Timeout/2)
	defer cancel()
	failed := b.attempts(within, trial, request)
	switch {
	case failed == nil || failed.about == anObject:
		if state.leave(trial, nil) { // perhaps the others are over too
			for _, other := range []*breaker{b.writing, b.reading, b.pruning} {
				other.hasten()
			}
		}
	case ctx.Err() != nil: // the caller has given up, which says nothing about the store
		state.abandon(trial)
		return fmt.Errorf("%s %s: %w", verb, key, ctx.Err())
	default:
		state.leave(trial, failed)
		return fmt.Errorf("%s %s: %w: %w", verb, key, ErrUnavailable, failed)
	}
	if failed == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", verb, key, failed)
}

func (b *Bucket) attempts(ctx context.Context, trial bool, request func(context.Context) error) *failure {
	for try := 0; ; try++ {
		failed := b.attempt(ctx, request)
		if failed == nil || !failed.passing || trial || try >= len(b.o.Pauses) || ctx.Err() != nil {
			return failed
		}
		select {
		case <-ctx.Done():
			return failed
		case <-time.After(b.o.Pauses[try]):
		}
	}
}

func (b *Bucket) attempt(ctx context.Context, request func(context.Context) error) *failure {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timeout)
	defer cancel()
	err := request(ctx)
	if err == nil {
		return nil
	}
	return b.explain(ctx, err)
}
