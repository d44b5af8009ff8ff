-- What keeps alarms and triggers back, and what is suspected of having caused them.

CREATE TABLE mutes (
  id           VARCHAR NOT NULL,
  monitor      VARCHAR NOT NULL,
  service_name VARCHAR,
  environment  VARCHAR,
  model        VARCHAR,
  cohort       VARCHAR,
  feature      VARCHAR,
  starts_at    TIMESTAMP NOT NULL,
  ends_at      TIMESTAMP NOT NULL,
  reason       VARCHAR NOT NULL,
  created_by   VARCHAR NOT NULL,
  created_at   TIMESTAMP NOT NULL,
  ended_by     VARCHAR
);
COMMENT ON TABLE mutes IS 'Alarms that a person has silenced: decision windows that end from starts_at on and before ends_at open no episode and ask for no retraining. NULL in a column that names the series matches every value.';
COMMENT ON COLUMN mutes.id IS 'Stable id.';
COMMENT ON COLUMN mutes.monitor IS 'Monitor of the configuration.';
COMMENT ON COLUMN mutes.service_name IS 'Resource service.name, NULL for every one.';
COMMENT ON COLUMN mutes.environment IS 'Deployment environment, NULL for every one.';
COMMENT ON COLUMN mutes.model IS 'Request model, NULL for every one.';
COMMENT ON COLUMN mutes.cohort IS 'Cohort, NULL for every one.';
COMMENT ON COLUMN mutes.feature IS 'Feature or evaluation name, NULL for every one.';
COMMENT ON COLUMN mutes.starts_at IS 'Event time (UTC) from which it covers the ends of windows: what was undecided when it was set.';
COMMENT ON COLUMN mutes.ends_at IS 'Event time (UTC) at which it ends, also when it was ended early.';
COMMENT ON COLUMN mutes.reason IS 'Why, in the words of who set it.';
COMMENT ON COLUMN mutes.created_by IS 'Who set it, as the client says.';
COMMENT ON COLUMN mutes.created_at IS 'Wall time (UTC) at which it was set.';
COMMENT ON COLUMN mutes.ended_by IS 'Who ended it early, NULL when nobody did.';

CREATE TABLE holds (
  id           VARCHAR NOT NULL,
  kind         VARCHAR NOT NULL,
  monitor      VARCHAR NOT NULL,
  service_name VARCHAR NOT NULL,
  environment  VARCHAR NOT NULL,
  model        VARCHAR,
  cause        VARCHAR NOT NULL,
  starts_at    TIMESTAMP NOT NULL,
  expires_at   TIMESTAMP NOT NULL,
  released_by  VARCHAR
);
COMMENT ON TABLE holds IS 'While one stands, triggers of its service, environment and model wait: what alarms may have another cause than the model. After it they are sent, with the cause.';
COMMENT ON COLUMN holds.id IS 'Stable id: the same cause gives the same one.';
COMMENT ON COLUMN holds.kind IS 'deploy, judge or schema.';
COMMENT ON COLUMN holds.monitor IS 'Monitor whose triggers wait.';
COMMENT ON COLUMN holds.service_name IS 'Resource service.name, empty when absent.';
COMMENT ON COLUMN holds.environment IS 'Deployment environment, empty when absent.';
COMMENT ON COLUMN holds.model IS 'Request model, NULL for every one.';
COMMENT ON COLUMN holds.cause IS 'The suspected cause, one sentence.';
COMMENT ON COLUMN holds.starts_at IS 'Event time (UTC) of the cause.';
COMMENT ON COLUMN holds.expires_at IS 'Event time (UTC) from which nothing waits for it.';
COMMENT ON COLUMN holds.released_by IS 'Who released it early, NULL when nobody did.';

CREATE TABLE deploys (
  service_name VARCHAR NOT NULL,
  environment  VARCHAR NOT NULL,
  version      VARCHAR NOT NULL,
  first_seen   TIMESTAMP NOT NULL
);
COMMENT ON TABLE deploys IS 'The newest versions of each service, and when their first span began.';
COMMENT ON COLUMN deploys.service_name IS 'Resource service.name, empty when absent.';
COMMENT ON COLUMN deploys.environment IS 'Deployment environment, empty when absent.';
COMMENT ON COLUMN deploys.version IS 'Resource service.version.';
COMMENT ON COLUMN deploys.first_seen IS 'Event time (UTC) of its first span.';
