-- Tables of the state file retraind.duckdb: everything small. Written by one thread; every decision
-- and what follows from it (window rows, alarms, episode, trigger, outbox) is one transaction.

CREATE TABLE schema_migrations (version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL);
COMMENT ON TABLE schema_migrations IS 'Versions of this schema, in the order in which they were applied.';

CREATE TABLE segments (
  id             INTEGER NOT NULL,
  file           VARCHAR NOT NULL,
  status         VARCHAR NOT NULL,
  schema_version INTEGER NOT NULL,
  created_at     TIMESTAMP NOT NULL,
  sealed_at      TIMESTAMP,
  span_rows      BIGINT,
  bytes          BIGINT,
  first_seq      BIGINT,
  last_seq       BIGINT,
  first_time     TIMESTAMP_NS,
  last_time      TIMESTAMP_NS
);
COMMENT ON TABLE segments IS 'The segment files under store/: hot, sealed, quarantined (could not be opened) or dropped (retention).';

CREATE TABLE progress (through_seq BIGINT NOT NULL);
COMMENT ON TABLE progress IS 'One row: every stored row up to this seq has been looked at when panes were built.';

CREATE TABLE watermarks (
  service_name    VARCHAR NOT NULL,
  environment     VARCHAR NOT NULL,
  max_event_ns    BIGINT NOT NULL,
  last_arrival_ns BIGINT NOT NULL,
  lateness_counts BIGINT[] NOT NULL,
  closed_through  TIMESTAMP
);
COMMENT ON TABLE watermarks IS 'Per source: newest event time, its arrival, lateness histogram, and the end of the last closed pane.';

CREATE TABLE series (
  id           VARCHAR NOT NULL,
  monitor      VARCHAR NOT NULL,
  service_name VARCHAR NOT NULL,
  environment  VARCHAR NOT NULL,
  model        VARCHAR NOT NULL,
  cohort       VARCHAR NOT NULL,
  first_pane   TIMESTAMP NOT NULL,
  window_start TIMESTAMP NOT NULL
);
COMMENT ON TABLE series IS 'What is watched on its own. window_start is where the next decision window begins.';

CREATE TABLE panes (
  series_id     VARCHAR NOT NULL,
  pane_start    TIMESTAMP NOT NULL,
  feature       VARCHAR NOT NULL,
  version       VARCHAR NOT NULL,
  kind          VARCHAR NOT NULL,
  sessions      BIGINT NOT NULL,
  missing       BIGINT NOT NULL,
  buckets       INTEGER[],
  categories    VARCHAR[],
  counts        BIGINT[] NOT NULL,
  total         BIGINT NOT NULL,
  total_squares BIGINT NOT NULL,
  results       BIGINT NOT NULL,
  failures      BIGINT NOT NULL,
  through_seq   BIGINT NOT NULL
);
COMMENT ON TABLE panes IS 'One hour of one feature of one series: exact counts of one value a session, a pure function of the stored rows. Feature "sessions" carries the number of sessions; version is set for rates and scores only.';

CREATE TABLE "references" (
  id           VARCHAR NOT NULL,
  series_id    VARCHAR NOT NULL,
  kind         VARCHAR NOT NULL,
  source       VARCHAR NOT NULL,
  created_at   TIMESTAMP NOT NULL,
  first_time   TIMESTAMP,
  last_time    TIMESTAMP,
  sessions     BIGINT NOT NULL,
  active       BOOLEAN NOT NULL
);
COMMENT ON TABLE "references" IS 'What windows are compared with. The id hashes kind, bins and counts.';

CREATE TABLE reference_counts (
  reference_id  VARCHAR NOT NULL,
  series_id     VARCHAR NOT NULL,
  feature       VARCHAR NOT NULL,
  version       VARCHAR NOT NULL,
  kind          VARCHAR NOT NULL,
  hour_of_week  INTEGER NOT NULL,
  missing       BIGINT NOT NULL,
  buckets       INTEGER[],
  categories    VARCHAR[],
  counts        BIGINT[] NOT NULL,
  total         BIGINT NOT NULL,
  total_squares BIGINT NOT NULL,
  results       BIGINT NOT NULL,
  failures      BIGINT NOT NULL
);
COMMENT ON TABLE reference_counts IS 'Frozen counts of a reference by hour of the week (0 = Monday 00:00 UTC; -1 = not known, from a file).';

CREATE TABLE windows (
  series_id            VARCHAR NOT NULL,
  feature              VARCHAR NOT NULL,
  version              VARCHAR NOT NULL,
  kind                 VARCHAR NOT NULL,
  window_start         TIMESTAMP NOT NULL,
  window_end           TIMESTAMP NOT NULL,
  sessions             BIGINT NOT NULL,
  n                    BIGINT NOT NULL,
  reference_id         VARCHAR,
  m                    BIGINT,
  method               VARCHAR,
  verdict              VARCHAR NOT NULL,
  psi                  DOUBLE,
  psi_floor            DOUBLE,
  psi_corrected        DOUBLE,
  psi_lower            DOUBLE,
  kl_reference_current DOUBLE,
  kl_current_reference DOUBLE,
  js_distance          DOUBLE,
  statistic            DOUBLE,
  degrees_of_freedom   INTEGER,
  p_value              DOUBLE,
  in_family            BOOLEAN,
  rate                 DOUBLE,
  rate_lower           DOUBLE,
  rate_upper           DOUBLE,
  baseline_rate        DOUBLE,
  baseline_upper       DOUBLE,
  log_e_value          DOUBLE,
  log_threshold        DOUBLE,
  results              BIGINT,
  failures             BIGINT,
  mean                 DOUBLE,
  contributions        VARCHAR,
  through_seq          BIGINT NOT NULL,
  evaluated_at         TIMESTAMP NOT NULL
);
COMMENT ON TABLE windows IS 'Results: one row per closed decision window and feature. verdict is ok, notice, investigate, retrain, alarm, immature, no_data, high_cardinality or context.';

CREATE TABLE alarms (
  series_id  VARCHAR NOT NULL,
  feature    VARCHAR NOT NULL,
  version    VARCHAR NOT NULL,
  kind       VARCHAR NOT NULL,
  state      VARCHAR NOT NULL,
  since      TIMESTAMP NOT NULL,
  memory     VARCHAR NOT NULL,
  detector   DOUBLE[]
);
COMMENT ON TABLE alarms IS 'State machine of each watched feature. memory is JSON (the last windows and evidence), detector the logarithms of the e-detector.';

CREATE TABLE policies (
  monitor      VARCHAR NOT NULL,
  service_name VARCHAR NOT NULL,
  environment  VARCHAR NOT NULL,
  model        VARCHAR NOT NULL,
  memory       VARCHAR NOT NULL
);
COMMENT ON TABLE policies IS 'State of each policy (one per monitor, service, environment and model): JSON with the open episode, cooldown and schedule.';

CREATE TABLE episodes (
  id           VARCHAR NOT NULL,
  monitor      VARCHAR NOT NULL,
  service_name VARCHAR NOT NULL,
  environment  VARCHAR NOT NULL,
  model        VARCHAR NOT NULL,
  opened_at    TIMESTAMP NOT NULL,
  closed_at    TIMESTAMP,
  status       VARCHAR NOT NULL,
  children     VARCHAR NOT NULL
);
COMMENT ON TABLE episodes IS 'One per continuous alarm of a model, in event time; children (its alarms) as a JSON array.';

CREATE TABLE triggers (
  id           VARCHAR NOT NULL,
  episode_id   VARCHAR,
  monitor      VARCHAR NOT NULL,
  service_name VARCHAR NOT NULL,
  environment  VARCHAR NOT NULL,
  model        VARCHAR NOT NULL,
  reason       VARCHAR NOT NULL,
  decided_for  TIMESTAMP NOT NULL,
  created_at   TIMESTAMP NOT NULL,
  event        VARCHAR NOT NULL
);
COMMENT ON TABLE triggers IS 'Every request to retrain. decided_for is the window''s end (event time), event the CloudEvent that is delivered.';

CREATE TABLE outbox (
  trigger_id   VARCHAR NOT NULL,
  destination  VARCHAR NOT NULL,
  status       VARCHAR NOT NULL,
  body         VARCHAR NOT NULL,
  created_at   TIMESTAMP NOT NULL,
  expires_at   TIMESTAMP NOT NULL,
  next_attempt TIMESTAMP NOT NULL,
  attempts     INTEGER NOT NULL,
  last_status  INTEGER,
  last_error   VARCHAR,
  finished_at  TIMESTAMP
);
COMMENT ON TABLE outbox IS 'One row per trigger and destination: pending, delivered, dead (refused for good) or expired. body is fixed before the first attempt.';

CREATE TABLE deliveries (
  trigger_id  VARCHAR NOT NULL,
  destination VARCHAR NOT NULL,
  attempt     INTEGER NOT NULL,
  started_at  TIMESTAMP NOT NULL,
  seconds     DOUBLE NOT NULL,
  status      INTEGER,
  error       VARCHAR
);
COMMENT ON TABLE deliveries IS 'One row per delivery attempt.';
