package sqlite

// schemaVersion is the user_version of the files that this package writes.
const schemaVersion = 1

// schema is that of a month's file. Texts that come again and again stand in tables of their own: a record is little
// more than numbers. What stands for a time in a record is the milliseconds since it began.
//
//   - relay: a RelayServer. Relays of one namespace share a space, for an ID is its namespace's.
//   - account: a user of a relay; the one without a name is nobody.
//   - kind: the program, result and reason of a relay's attempts. There are few dozens: any choice of them is found
//     by merging what is found of each. Each relay has its own, for one that makes up reasons is to slow down nobody
//     else.
//   - teller: who answered.
//   - profile: the rest of what does not differ from one attempt to the next from the same device. Its hash is of
//     all its texts and its account's.
//   - by_account: besides the order, it has all of a user's records that is shown of them: they lie side by side in it,
//     and each in a page of its own of the table.
//   - usage: what an account's records come to, but for what pending holds.
//   - pending: what Put has added to the usage since fold was last incremented, one row a Put. To update usage with
//     each Put would take as long as to insert the records.
const schema = `
CREATE TABLE relay (id INTEGER PRIMARY KEY, space INTEGER NOT NULL, namespace TEXT NOT NULL, server TEXT NOT NULL,
  UNIQUE (namespace, server));
CREATE TABLE account (id INTEGER PRIMARY KEY, relay INTEGER NOT NULL, user TEXT NOT NULL, UNIQUE (relay, user));
CREATE TABLE kind (id INTEGER PRIMARY KEY, relay INTEGER NOT NULL, program TEXT NOT NULL, result TEXT NOT NULL,
  reason TEXT NOT NULL, UNIQUE (relay, program, result, reason));
CREATE TABLE teller (id INTEGER PRIMARY KEY, listener TEXT NOT NULL, sidecar TEXT NOT NULL, UNIQUE (listener, sidecar));
CREATE TABLE profile (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, account INTEGER NOT NULL,
  user_name TEXT NOT NULL, viewer TEXT NOT NULL, slot TEXT NOT NULL, mac TEXT NOT NULL, digest TEXT NOT NULL,
  destination TEXT NOT NULL, source_viewer TEXT NOT NULL);
CREATE TABLE record (id BLOB NOT NULL, space INTEGER NOT NULL, relay INTEGER NOT NULL, account INTEGER NOT NULL,
  kind INTEGER NOT NULL, profile INTEGER NOT NULL, teller INTEGER NOT NULL, flags INTEGER NOT NULL,
  expire INTEGER, open_until INTEGER, last_seen INTEGER, ending INTEGER NOT NULL, end_time INTEGER,
  source BLOB, correlation BLOB, received INTEGER NOT NULL, sent INTEGER NOT NULL,
  PRIMARY KEY (id, space)) WITHOUT ROWID;
CREATE INDEX by_account ON record (account, kind, id, space, profile, teller, flags, expire, last_seen, ending, end_time,
  source, correlation, received, sent);
CREATE INDEX by_relay ON record (relay, kind, id);
CREATE INDEX by_open ON record (open_until) WHERE open_until IS NOT NULL;
CREATE TABLE usage (account INTEGER PRIMARY KEY, connected INTEGER NOT NULL, attempts INTEGER NOT NULL,
  failures INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE pending (seq INTEGER PRIMARY KEY, deltas BLOB NOT NULL);
CREATE TABLE fold (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL);
INSERT INTO fold VALUES (1, 0);
PRAGMA user_version = 1;
`

// metaSchema is that of the file of what outlives months.
//
//   - forgotten: whose records that began before a time are left out, as SHA-256.
//   - expired: the time that Expire was last told of each server.
//   - version: no change has had a version as high as this.
const metaSchema = `
CREATE TABLE forgotten (person BLOB PRIMARY KEY, before INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE expired (namespace TEXT NOT NULL, server TEXT NOT NULL, before INTEGER NOT NULL,
  PRIMARY KEY (namespace, server)) WITHOUT ROWID;
CREATE TABLE version (id INTEGER PRIMARY KEY CHECK (id = 1), below INTEGER NOT NULL);
INSERT INTO version VALUES (1, 0);
PRAGMA user_version = 1;
`

// The parameters of insertRecord have no names: the driver would look for the name of each, each time.
const insertRecord = `INSERT INTO record (id, space, relay, account, kind, profile, teller, flags, expire, open_until,
  last_seen, ending, end_time, source, correlation, received, sent)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

// The plus sign is there for the reason that accountArm has some.
const updateRecord = `UPDATE record SET relay = ?3, account = ?4, kind = ?5, profile = ?6, teller = ?7, flags = ?8,
  expire = ?9, open_until = ?10, last_seen = ?11, ending = ?12, end_time = ?13, source = ?14, correlation = ?15,
  received = ?16, sent = ?17 WHERE id = ?1 AND space = +?2`

// The columns of a record, and their tables: scan reads them. CROSS JOIN keeps the planner from beginning elsewhere.
const (
	selected = `SELECT r.id, e.namespace, e.server, r.account, a.user, k.program, k.result, k.reason, r.space, r.profile,
  p.user_name, p.viewer, p.slot, p.mac, p.digest, p.destination, p.source_viewer, t.listener, t.sidecar,
  r.flags, r.expire, r.last_seen, r.ending, r.end_time, r.source, r.correlation, r.received, r.sent FROM `
	columns   = selected + "record r "
	textJoins = ` CROSS JOIN profile p ON p.id = r.profile CROSS JOIN teller t ON t.id = r.teller CROSS JOIN kind k ON k.id = r.kind `
	joins     = textJoins + ` CROSS JOIN account a ON a.id = r.account CROSS JOIN relay e ON e.id = r.relay `

	selectOne  = columns + joins + `WHERE r.id = ?1 AND r.space = ?2`
	selectSame = columns + joins + `WHERE r.id = ?1 AND r.space < ?2`
	// SQLite plans a statement anew whenever another number is bound as its LIMIT, but not where that is a sum.
	selectOpen = columns + `INDEXED BY by_open` + joins +
		`WHERE r.open_until < ?1 ORDER BY r.open_until LIMIT ?2 + 0`
)
