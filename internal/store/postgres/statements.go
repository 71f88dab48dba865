package postgres

// statement is one that is prepared on every connection that uses it.
type statement struct {
	name, sql string
	params    []uint32
}

// The statements of a group of batches; their number does not depend on how many batches it has.
var (
	begin    = statement{"begin", "BEGIN ISOLATION LEVEL READ COMMITTED", nil}
	commit   = statement{"commit", "COMMIT", nil}
	rollback = statement{"rollback", "ROLLBACK", nil}

	// alive holds the writer's row until the transaction ends: whoever gets to change it knows then that it has.
	alive = statement{"alive", "SELECT id FROM waybill_writer WHERE id = $1 AND ended IS NULL FOR UPDATE", []uint32{oidInt8}}

	lock = statement{"lock", "SELECT key, version, CASE WHEN octet_length(value) <= 8 THEN value END FROM waybill_kv" +
		" WHERE key = ANY($1) ORDER BY key FOR UPDATE", []uint32{oidByteaArray}}

	// share keeps a key from being changed, as many groups may at the same time.
	share = statement{"share", "SELECT key, version, NULL FROM waybill_kv WHERE key = ANY($1) ORDER BY key FOR SHARE", []uint32{oidByteaArray}}

	known = statement{"known", "SELECT id, result FROM waybill_batch WHERE id = ANY($1)", []uint32{oidByteaArray}}

	// numbers draws the versions of the group, and tells where to remember batches.
	numbers = statement{"numbers", "SELECT nextval('waybill_version'), bucket, schema FROM waybill_meta", nil}

	// insert fails if a key was created since lock; that it does not is a lock on the key.
	insert = statement{"insert", "INSERT INTO waybill_kv (key, version, value)" +
		" SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])", []uint32{oidByteaArray, oidInt8Array, oidByteaArray}}

	update = statement{"update", "UPDATE waybill_kv AS kv SET version = u.version, value = u.value" +
		" FROM unnest($1::bytea[], $2::bigint[], $3::bytea[]) AS u (key, version, value) WHERE kv.key = u.key",
		[]uint32{oidByteaArray, oidInt8Array, oidByteaArray}}

	remove = statement{"remove", "DELETE FROM waybill_kv WHERE key = ANY($1)", []uint32{oidByteaArray}}

	// removeRanges fails (22012) if a group with a greater version than $4 has written there.
	removeRanges = statement{"remove_ranges", "WITH gone AS (DELETE FROM waybill_kv AS kv" +
		" USING unnest($1::bytea[], $2::bytea[]) AS r (a, b) WHERE kv.key >= r.a AND kv.key < r.b AND NOT kv.key = ANY($3)" +
		" RETURNING kv.version) SELECT 1 / (CASE WHEN max(version) >= $4 THEN 0 ELSE 1 END) FROM gone",
		[]uint32{oidByteaArray, oidByteaArray, oidByteaArray, oidInt8}}

	// emptyRanges fails (22012) if something is in the ranges that were just deleted: it was created meanwhile.
	emptyRanges = statement{"empty_ranges", "SELECT 1 / (CASE WHEN EXISTS (SELECT FROM waybill_kv AS kv," +
		" unnest($1::bytea[], $2::bytea[]) AS r (a, b) WHERE kv.key >= r.a AND kv.key < r.b AND NOT kv.key = ANY($3))" +
		" THEN 0 ELSE 1 END)", []uint32{oidByteaArray, oidByteaArray, oidByteaArray}}

	remember = statement{"remember", "INSERT INTO waybill_batch (id, bucket, result)" +
		" SELECT u.id, $2, u.result FROM unnest($1::bytea[], $3::bytea[]) AS u (id, result)",
		[]uint32{oidByteaArray, oidInt8, oidByteaArray}}

	change = statement{"change", "INSERT INTO waybill_change (writer, seq, version, keys, absent, range_starts, range_ends)" +
		" VALUES ($1, $2, $3, $4, $5, $6, $7)",
		[]uint32{oidInt8, oidInt8, oidInt8, oidBytea, oidByteaArray, oidByteaArray, oidByteaArray}}

	// newest fails (22012) if a group with a greater version than $1 left one of the keys absent that were found absent, and so
	// inserted: this group comes after it, and its versions have to tell so.
	newest = statement{"newest", "SELECT 1 / (CASE WHEN EXISTS (SELECT FROM waybill_change AS c" +
		" WHERE c.version > $1 AND c.writer <> $2 AND (EXISTS (SELECT FROM unnest(c.absent) AS d (key) WHERE d.key = ANY($3))" +
		" OR EXISTS (SELECT FROM unnest(c.range_starts, c.range_ends) AS r (a, b), unnest($3) AS k (key)" +
		" WHERE k.key >= r.a AND k.key < r.b))) THEN 0 ELSE 1 END)", []uint32{oidInt8, oidInt8, oidByteaArray}}

	forgetChanges = statement{"forget_changes", "DELETE FROM waybill_change WHERE writer = $1 AND seq < $2",
		[]uint32{oidInt8, oidInt8}}
)

// The statements that begin and end a writer's connection.
var (
	register = statement{"register", "INSERT INTO waybill_writer (id) VALUES ($1)", []uint32{oidInt8}}

	// unregister waits for the writer's transaction under way, and keeps it from beginning another.
	unregister = statement{"unregister", "UPDATE waybill_writer SET ended = coalesce(ended, now()) WHERE id = $1", []uint32{oidInt8}}

	appliedGroup = statement{"applied", "SELECT seq FROM waybill_change WHERE writer = $1 AND seq = $2", []uint32{oidInt8, oidInt8}}

	impatient = statement{"impatient", "SET LOCAL lock_timeout = '2s'", nil}

	// endTorn ends the sessions of writers that have waited for so many milliseconds for the rest of what they are to do, or for
	// somebody to take their answer. No time-out of the server's counts then: they are not idle.
	endTorn = statement{"end_torn", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()" +
		" AND application_name LIKE 'waybill writer %' AND state = 'active' AND wait_event IN ('ClientRead', 'ClientWrite')" +
		" AND state_change < clock_timestamp() - $1 * interval '1 ms'", []uint32{oidInt8}}

	terminate = statement{"terminate", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
		[]uint32{oidText}}
)

// The statements of snapshots.
var (
	beginRead = statement{"begin_read", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", nil}

	// see is a read that makes the snapshot that of this moment.
	see = statement{"see", "SELECT schema FROM waybill_meta", nil}

	get = statement{"get", "SELECT version, value FROM waybill_kv WHERE key = $1", []uint32{oidBytea}}

	scan = statement{"scan", "SELECT key, version, value FROM waybill_kv WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3",
		[]uint32{oidBytea, oidBytea, oidInt8}}

	scanBack = statement{"scan_back", "SELECT key, version, value FROM waybill_kv WHERE key >= $1 AND key < $2" +
		" ORDER BY key DESC LIMIT $3", []uint32{oidBytea, oidBytea, oidInt8}}
)

// The statements that count everything: here a table is best read as it lies.
var (
	wholeTable = statement{"whole_table", "SET enable_seqscan = on", nil}

	size = statement{"size", "SELECT count(*), coalesce(sum(octet_length(key) + octet_length(value)), 0)::bigint FROM waybill_kv", nil}
)

// The statements that find out whether anybody writes.
var (
	drawn = statement{"drawn", "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM waybill_version", nil}

	// idle waits for all transactions that have drawn a version: they hold the rows of their writers.
	idle = statement{"idle", "SELECT id FROM waybill_writer ORDER BY id FOR SHARE", nil}
)

// The statements of the keeper.
var (
	// writers tells how far each writer has come.
	writers = statement{"writers", "SELECT w.id, coalesce((SELECT max(c.seq) FROM waybill_change AS c WHERE c.writer = w.id), 0)" +
		" FROM waybill_writer AS w", nil}

	changes = statement{"changes", "SELECT c.writer, c.seq, c.keys, c.range_starts, c.range_ends FROM waybill_change AS c" +
		" JOIN unnest($1::bigint[], $2::bigint[]) AS u (writer, seq) ON c.writer = u.writer AND c.seq > u.seq",
		[]uint32{oidInt8Array, oidInt8Array}}

	replicated = statement{"replicated", "SELECT current_setting('synchronous_standby_names')", nil}

	bucket = statement{"bucket", "SELECT bucket FROM waybill_meta", nil}

	nextBucket = statement{"next_bucket", "UPDATE waybill_meta SET bucket = bucket + 1 WHERE bucket = $1", []uint32{oidInt8}}

	forgetBatches = statement{"forget_batches", "DELETE FROM waybill_batch WHERE bucket < $1", []uint32{oidInt8}}

	// forgetEnded removes what a writer left that ended long ago.
	forgetEnded = statement{"forget_ended", "WITH gone AS (DELETE FROM waybill_writer WHERE ended < now() - interval '10 minutes'" +
		" RETURNING id) DELETE FROM waybill_change AS c USING gone WHERE c.writer = gone.id", nil}
)
