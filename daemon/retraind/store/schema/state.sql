-- Tables of the state file retraind.duckdb: everything small. Written by one thread; every decision
-- and what follows from it (window rows, alarms, episode, trigger, outbox) is one transaction.

CREATE TABLE schema_migrations (version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL);
COMMENT ON TABLE schema_migrations IS 'Versions of this schema, in the order in which they were applied.';
COMMENT ON COLUMN schema_migrations.version IS 'Schema version.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'Wall time (UTC) at which it was applied.';

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
COMMENT ON TABLE segments IS 'The segment files under store/: hot, sealed, quarantined (could not be opened), dropped (retention) or merged (a later file has their rows).';
COMMENT ON COLUMN segments.id IS 'Number of the file in order of creation; a merged file comes after those it replaced, so order by first_seq.';
COMMENT ON COLUMN segments.file IS 'File name under store/.';
COMMENT ON COLUMN segments.status IS 'hot, sealing, sealed, quarantined, dropped or merged.';
COMMENT ON COLUMN segments.schema_version IS 'Version of its tables.';
COMMENT ON COLUMN segments.created_at IS 'Wall time (UTC) of creation; of a merged file, of its oldest source.';
COMMENT ON COLUMN segments.sealed_at IS 'Wall time (UTC) of sealing; of a merged file, of its newest source.';
COMMENT ON COLUMN segments.span_rows IS 'Rows of spans, once sealed.';
COMMENT ON COLUMN segments.bytes IS 'Size of the sealed file.';
COMMENT ON COLUMN segments.first_seq IS 'Lowest seq.';
COMMENT ON COLUMN segments.last_seq IS 'Highest seq.';
COMMENT ON COLUMN segments.first_time IS 'Oldest event time (UTC) of any row.';
COMMENT ON COLUMN segments.last_time IS 'Newest event time (UTC) of any row.';

CREATE TABLE progress (through_seq BIGINT NOT NULL);
COMMENT ON TABLE progress IS 'One row: every stored row up to this seq has been looked at when panes were built.';
COMMENT ON COLUMN progress.through_seq IS 'Highest seq that has been looked at.';

CREATE TABLE watermarks (
  service_name    VARCHAR NOT NULL,
  environment     VARCHAR NOT NULL,
  max_event_ns    BIGINT NOT NULL,
  last_arrival_ns BIGINT NOT NULL,
  lateness_counts BIGINT[] NOT NULL,
  closed_through  TIMESTAMP
);
COMMENT ON TABLE watermarks IS 'Per source: newest event time, its arrival, lateness histogram, and the end of the last closed pane.';
COMMENT ON COLUMN watermarks.service_name IS 'Resource service.name, empty when absent.';
COMMENT ON COLUMN watermarks.environment IS 'Deployment environment, empty when absent.';
COMMENT ON COLUMN watermarks.max_event_ns IS 'Newest event time, nanoseconds since 1970 UTC.';
COMMENT ON COLUMN watermarks.last_arrival_ns IS 'Its arrival, nanoseconds since 1970 UTC.';
COMMENT ON COLUMN watermarks.lateness_counts IS 'Histogram of how late spans arrived.';
COMMENT ON COLUMN watermarks.closed_through IS 'End (UTC) of the last closed pane.';

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
COMMENT ON COLUMN series.id IS 'Hash of the five columns that name the series.';
COMMENT ON COLUMN series.monitor IS 'Monitor of the configuration.';
COMMENT ON COLUMN series.service_name IS 'Resource service.name, empty when absent.';
COMMENT ON COLUMN series.environment IS 'Deployment environment, empty when absent.';
COMMENT ON COLUMN series.model IS 'Request model, empty when absent.';
COMMENT ON COLUMN series.cohort IS 'Cohort, empty when none is configured.';
COMMENT ON COLUMN series.first_pane IS 'Start (UTC) of its first pane.';
COMMENT ON COLUMN series.window_start IS 'Where its next decision window begins (UTC).';

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
COMMENT ON COLUMN panes.series_id IS 'Series, see series.id.';
COMMENT ON COLUMN panes.pane_start IS 'Start of the hour (UTC).';
COMMENT ON COLUMN panes.feature IS 'Feature or evaluation name.';
COMMENT ON COLUMN panes.version IS 'Model version for rates and scores, else empty.';
COMMENT ON COLUMN panes.kind IS 'number, category, score or rate.';
COMMENT ON COLUMN panes.sessions IS 'Sessions in all.';
COMMENT ON COLUMN panes.missing IS 'Sessions without a value.';
COMMENT ON COLUMN panes.buckets IS 'Log-bucket indices, paired with counts; NULL for categories.';
COMMENT ON COLUMN panes.categories IS 'Category texts, paired with counts; NULL for numbers.';
COMMENT ON COLUMN panes.counts IS 'Sessions per bucket or category.';
COMMENT ON COLUMN panes.total IS 'Sum of the values in millionths.';
COMMENT ON COLUMN panes.total_squares IS 'Sum of the squares in millionths.';
COMMENT ON COLUMN panes.results IS 'Single evaluation results.';
COMMENT ON COLUMN panes.failures IS 'Failed evaluation results.';
COMMENT ON COLUMN panes.through_seq IS 'Highest seq of the rows that it includes.';

CREATE TABLE "references" (
  id           VARCHAR NOT NULL,
  series_id    VARCHAR NOT NULL,
  kind         VARCHAR NOT NULL,
  source       VARCHAR NOT NULL,
  created_at   TIMESTAMP NOT NULL,
  first_time   TIMESTAMP,
  last_time    TIMESTAMP,
  sessions     BIGINT NOT NULL,
  active       BOOLEAN NOT NULL,
  proposed     BOOLEAN NOT NULL,
  active_from  TIMESTAMP
);
COMMENT ON TABLE "references" IS 'The pinned references of each series: the one that windows are compared with, at most one that is proposed, and the earlier ones. The id hashes kind, bins and counts. Seasonal, trailing and deploy references are sums of panes, made anew for each window.';
COMMENT ON COLUMN "references".id IS 'Hash of kind, bins and counts.';
COMMENT ON COLUMN "references".series_id IS 'Series, see series.id.';
COMMENT ON COLUMN "references".kind IS 'pinned.';
COMMENT ON COLUMN "references".source IS 'Where its counts came from.';
COMMENT ON COLUMN "references".created_at IS 'Wall time (UTC) of creation.';
COMMENT ON COLUMN "references".first_time IS 'Start (UTC) of what it covers.';
COMMENT ON COLUMN "references".last_time IS 'End (UTC) of what it covers.';
COMMENT ON COLUMN "references".sessions IS 'Sessions in all.';
COMMENT ON COLUMN "references".active IS 'Is it the one that windows are compared with?';
COMMENT ON COLUMN "references".proposed IS 'Does it wait for somebody to accept it?';
COMMENT ON COLUMN "references".active_from IS 'Start (UTC) of the first window that was compared with it, NULL while proposed.';

CREATE TABLE reference_log (
  logged_at    TIMESTAMP NOT NULL,
  action       VARCHAR NOT NULL,
  reference_id VARCHAR NOT NULL,
  series_id    VARCHAR NOT NULL,
  replaced     VARCHAR,
  actor        VARCHAR NOT NULL
);
COMMENT ON TABLE reference_log IS 'Who made which reference the active one of a series, or proposed it, and when.';
COMMENT ON COLUMN reference_log.logged_at IS 'Wall time (UTC).';
COMMENT ON COLUMN reference_log.action IS 'pinned, joined (late features joined the active one), proposed or accepted.';
COMMENT ON COLUMN reference_log.reference_id IS 'See references.id.';
COMMENT ON COLUMN reference_log.series_id IS 'Series, see series.id.';
COMMENT ON COLUMN reference_log.replaced IS 'The reference that was active until then; NULL for the first and for proposals.';
COMMENT ON COLUMN reference_log.actor IS 'auto for the daemon itself, else what the caller gave as its name.';

CREATE TABLE versions (
  series_id  VARCHAR NOT NULL,
  version    VARCHAR NOT NULL,
  first_time TIMESTAMP NOT NULL
);
COMMENT ON TABLE versions IS 'Versions of the model that each series has had. A new one is compared with the one before for a day.';
COMMENT ON COLUMN versions.series_id IS 'Series, see series.id.';
COMMENT ON COLUMN versions.version IS 'Value of the monitor''s version source.';
COMMENT ON COLUMN versions.first_time IS 'Start (UTC) of the first hour with a session of it.';

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
COMMENT ON COLUMN reference_counts.reference_id IS 'See references.id.';
COMMENT ON COLUMN reference_counts.series_id IS 'Series, see series.id.';
COMMENT ON COLUMN reference_counts.feature IS 'Feature or evaluation name.';
COMMENT ON COLUMN reference_counts.version IS 'Model version for rates and scores, else empty.';
COMMENT ON COLUMN reference_counts.kind IS 'number, category, score or rate.';
COMMENT ON COLUMN reference_counts.hour_of_week IS '0 = Monday 00:00 UTC; -1 = not known.';
COMMENT ON COLUMN reference_counts.missing IS 'Sessions without a value.';
COMMENT ON COLUMN reference_counts.buckets IS 'Log-bucket indices, paired with counts; NULL for categories.';
COMMENT ON COLUMN reference_counts.categories IS 'Category texts, paired with counts; NULL for numbers.';
COMMENT ON COLUMN reference_counts.counts IS 'Sessions per bucket or category.';
COMMENT ON COLUMN reference_counts.total IS 'Sum of the values in millionths.';
COMMENT ON COLUMN reference_counts.total_squares IS 'Sum of the squares in millionths.';
COMMENT ON COLUMN reference_counts.results IS 'Single evaluation results.';
COMMENT ON COLUMN reference_counts.failures IS 'Failed evaluation results.';

CREATE TABLE windows (
  series_id            VARCHAR NOT NULL,
  feature              VARCHAR NOT NULL,
  version              VARCHAR NOT NULL,
  kind                 VARCHAR NOT NULL,
  window_start         TIMESTAMP NOT NULL,
  window_end           TIMESTAMP NOT NULL,
  sessions             BIGINT NOT NULL,
  n                    BIGINT NOT NULL,
  reference_kind       VARCHAR NOT NULL,
  reference_id         VARCHAR,
  reference_hours      VARCHAR,
  m                    BIGINT,
  method               VARCHAR,
  verdict              VARCHAR NOT NULL,
  alarm_state          VARCHAR,
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
  components           VARCHAR,
  change               VARCHAR,
  through_seq          BIGINT NOT NULL,
  evaluated_at         TIMESTAMP NOT NULL
);
COMMENT ON TABLE windows IS 'Results: one row per closed decision window, feature and kind of reference. verdict is ok, notice, investigate, retrain, alarm, immature, no_data, high_cardinality or context.';
COMMENT ON COLUMN windows.series_id IS 'Series, see series.id.';
COMMENT ON COLUMN windows.feature IS 'Feature or evaluation name.';
COMMENT ON COLUMN windows.version IS 'Model version for rates and scores, else empty.';
COMMENT ON COLUMN windows.kind IS 'number, category, score or rate.';
COMMENT ON COLUMN windows.window_start IS 'Start (UTC).';
COMMENT ON COLUMN windows.window_end IS 'End (UTC), exclusive.';
COMMENT ON COLUMN windows.sessions IS 'Sessions in all.';
COMMENT ON COLUMN windows.n IS 'Sessions with a value.';
COMMENT ON COLUMN windows.reference_kind IS 'pinned, seasonal, trailing or deploy.';
COMMENT ON COLUMN windows.reference_id IS 'Reference it was compared with: a row of references when pinned, else the hash of summed panes.';
COMMENT ON COLUMN windows.reference_hours IS 'Which hours of a pinned reference it was compared with: hour_of_week, kind_of_day (the same hours of weekdays or weekends), hour_of_day or everything; NULL for other kinds.';
COMMENT ON COLUMN windows.m IS 'Reference sessions with a value.';
COMMENT ON COLUMN windows.method IS 'Test and its parameters.';
COMMENT ON COLUMN windows.verdict IS 'See the table.';
COMMENT ON COLUMN windows.alarm_state IS 'State of the feature''s alarm after this window, NULL where there is none.';
COMMENT ON COLUMN windows.psi IS 'Population stability index.';
COMMENT ON COLUMN windows.psi_floor IS 'What noise alone gives on average.';
COMMENT ON COLUMN windows.psi_corrected IS 'PSI less the floor.';
COMMENT ON COLUMN windows.psi_lower IS 'Lower confidence bound of the PSI.';
COMMENT ON COLUMN windows.kl_reference_current IS 'Divergence of the current from the reference distribution, nats.';
COMMENT ON COLUMN windows.kl_current_reference IS 'Divergence of the reference from the current distribution, nats.';
COMMENT ON COLUMN windows.js_distance IS 'Jensen-Shannon distance.';
COMMENT ON COLUMN windows.statistic IS 'Test statistic.';
COMMENT ON COLUMN windows.degrees_of_freedom IS 'Its degrees of freedom.';
COMMENT ON COLUMN windows.p_value IS 'p-value of the test.';
COMMENT ON COLUMN windows.in_family IS 'Did it pass the false discovery rate of the tick?';
COMMENT ON COLUMN windows.rate IS 'Mean over sessions of the share of failed evaluations.';
COMMENT ON COLUMN windows.rate_lower IS 'Lower bound of the rate.';
COMMENT ON COLUMN windows.rate_upper IS 'Upper bound of the rate.';
COMMENT ON COLUMN windows.baseline_rate IS 'Rate of the reference.';
COMMENT ON COLUMN windows.baseline_upper IS 'Upper confidence limit of the baseline rate.';
COMMENT ON COLUMN windows.log_e_value IS 'Natural logarithm of the e-value.';
COMMENT ON COLUMN windows.log_threshold IS 'Natural logarithm of the alarm threshold.';
COMMENT ON COLUMN windows.results IS 'Evaluation results.';
COMMENT ON COLUMN windows.failures IS 'Failed evaluation results.';
COMMENT ON COLUMN windows.mean IS 'Mean of the values.';
COMMENT ON COLUMN windows.contributions IS 'The bins or categories that moved most, as a JSON array: shares, contribution to the PSI (and as part of it), signed residual, direction.';
COMMENT ON COLUMN windows.components IS 'z-values of location, spread, skew and tail of a number or score, as a JSON object.';
COMMENT ON COLUMN windows.change IS 'The clear ones among them in words, e.g. higher, wider.';
COMMENT ON COLUMN windows.through_seq IS 'Highest seq of the rows that it includes.';
COMMENT ON COLUMN windows.evaluated_at IS 'Wall time (UTC) of the evaluation.';

CREATE TABLE alarms (
  series_id      VARCHAR NOT NULL,
  feature        VARCHAR NOT NULL,
  version        VARCHAR NOT NULL,
  kind           VARCHAR NOT NULL,
  reference_kind VARCHAR NOT NULL,
  state          VARCHAR NOT NULL,
  since          TIMESTAMP NOT NULL,
  memory         VARCHAR NOT NULL,
  detector       DOUBLE[],
  last_data      TIMESTAMP NOT NULL
);
COMMENT ON TABLE alarms IS 'State machine of each watched feature and kind of reference. memory is JSON (the last windows and evidence), detector the logarithms of the e-detector.';
COMMENT ON COLUMN alarms.series_id IS 'Series, see series.id.';
COMMENT ON COLUMN alarms.feature IS 'Feature or evaluation name.';
COMMENT ON COLUMN alarms.version IS 'Model version for rates and scores, else empty.';
COMMENT ON COLUMN alarms.kind IS 'number, category, score or rate.';
COMMENT ON COLUMN alarms.reference_kind IS 'pinned, seasonal or deploy.';
COMMENT ON COLUMN alarms.state IS 'State of the alarm.';
COMMENT ON COLUMN alarms.since IS 'Event time (UTC) at which it entered the state.';
COMMENT ON COLUMN alarms.memory IS 'JSON, read by the daemon only.';
COMMENT ON COLUMN alarms.detector IS 'Logarithms of the e-detector, for fail rates.';
COMMENT ON COLUMN alarms.last_data IS 'End (UTC) of the last window with data of it; without any for longer than window.max_length it is forgotten.';

CREATE TABLE policies (
  monitor      VARCHAR NOT NULL,
  service_name VARCHAR NOT NULL,
  environment  VARCHAR NOT NULL,
  model        VARCHAR NOT NULL,
  memory       VARCHAR NOT NULL
);
COMMENT ON TABLE policies IS 'State of each policy (one per monitor, service, environment and model): JSON with the open episode, cooldown and schedule.';
COMMENT ON COLUMN policies.monitor IS 'Monitor of the configuration.';
COMMENT ON COLUMN policies.service_name IS 'Resource service.name, empty when absent.';
COMMENT ON COLUMN policies.environment IS 'Deployment environment, empty when absent.';
COMMENT ON COLUMN policies.model IS 'Request model, empty when absent.';
COMMENT ON COLUMN policies.memory IS 'JSON, read by the daemon only.';

CREATE TABLE episodes (
  id           VARCHAR NOT NULL,
  monitor      VARCHAR NOT NULL,
  service_name VARCHAR NOT NULL,
  environment  VARCHAR NOT NULL,
  model        VARCHAR NOT NULL,
  opened_at    TIMESTAMP NOT NULL,
  closed_at    TIMESTAMP,
  status       VARCHAR NOT NULL,
  children     VARCHAR NOT NULL,
  attribution  VARCHAR
);
COMMENT ON TABLE episodes IS 'One per continuous alarm of a model, in event time; children (its alarms) as a JSON array.';
COMMENT ON COLUMN episodes.id IS 'Stable id.';
COMMENT ON COLUMN episodes.monitor IS 'Monitor of the configuration.';
COMMENT ON COLUMN episodes.service_name IS 'Resource service.name, empty when absent.';
COMMENT ON COLUMN episodes.environment IS 'Deployment environment, empty when absent.';
COMMENT ON COLUMN episodes.model IS 'Request model, empty when absent.';
COMMENT ON COLUMN episodes.opened_at IS 'Event time (UTC) of opening.';
COMMENT ON COLUMN episodes.closed_at IS 'Event time (UTC) of closing, NULL while open.';
COMMENT ON COLUMN episodes.status IS 'open or closed.';
COMMENT ON COLUMN episodes.children IS 'Alarmed series and features, as a JSON array.';
COMMENT ON COLUMN episodes.attribution IS 'What moved when it opened, or asked: features ranked, mix against within-cohort change of fail rates and scores, the most telling sessions; JSON.';

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
COMMENT ON COLUMN triggers.id IS 'Id of the event.';
COMMENT ON COLUMN triggers.episode_id IS 'Episode that it belongs to, NULL for the schedule.';
COMMENT ON COLUMN triggers.monitor IS 'Monitor of the configuration.';
COMMENT ON COLUMN triggers.service_name IS 'Resource service.name, empty when absent.';
COMMENT ON COLUMN triggers.environment IS 'Deployment environment, empty when absent.';
COMMENT ON COLUMN triggers.model IS 'Request model, empty when absent.';
COMMENT ON COLUMN triggers.reason IS 'Leading reason.';
COMMENT ON COLUMN triggers.decided_for IS 'End of the deciding window (UTC, event time).';
COMMENT ON COLUMN triggers.created_at IS 'Wall time (UTC) of creation.';
COMMENT ON COLUMN triggers.event IS 'The event that is delivered, as JSON.';

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
COMMENT ON COLUMN outbox.trigger_id IS 'See triggers.id.';
COMMENT ON COLUMN outbox.destination IS 'Destination of the configuration.';
COMMENT ON COLUMN outbox.status IS 'pending, delivered, dead or expired.';
COMMENT ON COLUMN outbox.body IS 'Request body, fixed before the first attempt.';
COMMENT ON COLUMN outbox.created_at IS 'Wall time (UTC) of creation.';
COMMENT ON COLUMN outbox.expires_at IS 'Given up after this (UTC).';
COMMENT ON COLUMN outbox.next_attempt IS 'Not tried before this (UTC).';
COMMENT ON COLUMN outbox.attempts IS 'Attempts so far.';
COMMENT ON COLUMN outbox.last_status IS 'HTTP status of the last attempt.';
COMMENT ON COLUMN outbox.last_error IS 'Error of the last attempt.';
COMMENT ON COLUMN outbox.finished_at IS 'When it left pending (UTC).';

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
COMMENT ON COLUMN deliveries.trigger_id IS 'See triggers.id.';
COMMENT ON COLUMN deliveries.destination IS 'Destination of the configuration.';
COMMENT ON COLUMN deliveries.attempt IS 'Number of the attempt, from 1.';
COMMENT ON COLUMN deliveries.started_at IS 'Start (UTC).';
COMMENT ON COLUMN deliveries.seconds IS 'Duration.';
COMMENT ON COLUMN deliveries.status IS 'HTTP status, NULL without an answer.';
COMMENT ON COLUMN deliveries.error IS 'What went wrong.';
