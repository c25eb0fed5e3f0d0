-- +goose Up

-- Times are milliseconds since 1970 as in the records, zero for none. Months are counted from the year 0 in UTC:
-- 12 * year + month - 1. Names are compared by their bytes.

CREATE TABLE namespaces (
  id   int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE servers (
  id      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ns      int NOT NULL REFERENCES namespaces,
  name    text COLLATE "C" NOT NULL,
  expired bigint NOT NULL DEFAULT 0, -- records that began before this time are not taken any more
  UNIQUE (ns, name)
);

-- A stream is the records of one server that have program, result and reason in common. There are a few dozen of a
-- server. Any mix of these is found by merging streams, each of which an index keeps in order.
CREATE TABLE streams (
  id      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  server  int NOT NULL REFERENCES servers,
  program text COLLATE "C" NOT NULL,
  result  text COLLATE "C" NOT NULL,
  reason  text COLLATE "C" NOT NULL,
  UNIQUE (server, program, result, reason)
);

-- How many records a stream has in a month, so that nothing has to be counted.
CREATE TABLE stream_months (
  stream  int NOT NULL REFERENCES streams,
  month   int NOT NULL,
  records bigint NOT NULL,
  PRIMARY KEY (stream, month)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);

-- A ULID in a uuid sorts by time. The columns are in an order that wastes no bytes on alignment.
CREATE TABLE records (
  id             uuid NOT NULL,
  expire         bigint NOT NULL,
  last_seen      bigint NOT NULL,
  end_time       bigint NOT NULL,
  received_bytes bigint NOT NULL, -- unsigned: what is negative here is beyond 2^63
  sent_bytes     bigint NOT NULL,
  ns             int NOT NULL,
  stream         int NOT NULL,
  partial        boolean NOT NULL,
  enrolled       boolean NOT NULL,
  relay_user     text COLLATE "C" NOT NULL,
  user_name      text COLLATE "C" NOT NULL,
  viewer         text COLLATE "C" NOT NULL,
  slot           text COLLATE "C" NOT NULL,
  end_kind       text COLLATE "C" NOT NULL,
  source_address text COLLATE "C" NOT NULL,
  mac_address    text COLLATE "C" NOT NULL,
  destination    text COLLATE "C" NOT NULL,
  source_viewer  text COLLATE "C" NOT NULL,
  listener       text COLLATE "C" NOT NULL,
  sidecar        text COLLATE "C" NOT NULL,
  correlation_id text COLLATE "C" NOT NULL,
  device_digest  text COLLATE "C" NOT NULL,
  PRIMARY KEY (id, ns)
) PARTITION BY RANGE (id);
CREATE INDEX records_stream ON records (stream, id);
CREATE INDEX records_user ON records (relay_user, stream, id) WHERE relay_user <> '';

-- What the records of a user come to in a month. connected is in milliseconds.
CREATE TABLE usage (
  server     int NOT NULL REFERENCES servers,
  month      int NOT NULL,
  connected  bigint NOT NULL,
  attempts   bigint NOT NULL,
  failures   bigint NOT NULL,
  first      bigint NOT NULL,
  last       bigint NOT NULL,
  relay_user text COLLATE "C" NOT NULL,
  PRIMARY KEY (server, relay_user, month)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- The connections that last. Not an index of records: there it would have the end of each rewrite all index entries.
CREATE TABLE open_records (
  expire bigint NOT NULL,
  id     uuid NOT NULL,
  server int NOT NULL REFERENCES servers,
  ns     int NOT NULL REFERENCES namespaces,
  PRIMARY KEY (id, ns)
);
CREATE INDEX open_records_expire ON open_records (expire);

-- Whose records are not to be kept: a hash of the name, and until when they began. seq only ever grows, so that what
-- is new since is found.
CREATE TABLE forgotten (
  hash   bytea PRIMARY KEY,
  before bigint NOT NULL,
  seq    bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);

-- The newest changes, those of one transaction in a row, versions first to last. Their encoding is the store's own.
CREATE TABLE changes (
  last    bigint PRIMARY KEY,
  first   bigint NOT NULL,
  changes bytea NOT NULL
);
ALTER TABLE changes ALTER COLUMN changes SET STORAGE EXTERNAL; -- compressing them takes longer than writing them
