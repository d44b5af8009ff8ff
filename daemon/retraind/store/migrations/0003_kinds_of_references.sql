-- Seasonal, trailing and deploy references beside the pinned ones: what was written before is pinned.

ALTER TABLE "references" ADD COLUMN proposed BOOLEAN DEFAULT false;
ALTER TABLE "references" ALTER COLUMN proposed SET NOT NULL;
ALTER TABLE "references" ADD COLUMN active_from TIMESTAMP;
UPDATE "references" SET active_from = coalesce(last_time, created_at);
COMMENT ON TABLE "references" IS 'The pinned references of each series: the one that windows are compared with, at most one that is proposed, and the earlier ones. The id hashes kind, bins and counts. Seasonal, trailing and deploy references are sums of panes, made anew for each window.';
COMMENT ON COLUMN "references".kind IS 'pinned.';
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

ALTER TABLE windows ADD COLUMN reference_kind VARCHAR DEFAULT 'pinned';
ALTER TABLE windows ALTER COLUMN reference_kind SET NOT NULL;
ALTER TABLE windows ADD COLUMN reference_hours VARCHAR;
ALTER TABLE windows ADD COLUMN alarm_state VARCHAR;
COMMENT ON TABLE windows IS 'Results: one row per closed decision window, feature and kind of reference. verdict is ok, notice, investigate, retrain, alarm, immature, no_data, high_cardinality or context.';
COMMENT ON COLUMN windows.reference_kind IS 'pinned, seasonal, trailing or deploy.';
COMMENT ON COLUMN windows.reference_id IS 'Reference it was compared with: a row of references when pinned, else the hash of summed panes.';
COMMENT ON COLUMN windows.reference_hours IS 'Which hours of a pinned reference it was compared with: hour_of_week, kind_of_day (the same hours of weekdays or weekends), hour_of_day or everything; NULL for other kinds.';
COMMENT ON COLUMN windows.alarm_state IS 'State of the feature''s alarm after this window, NULL where there is none.';

ALTER TABLE alarms ADD COLUMN reference_kind VARCHAR DEFAULT 'pinned';
ALTER TABLE alarms ALTER COLUMN reference_kind SET NOT NULL;
COMMENT ON TABLE alarms IS 'State machine of each watched feature and kind of reference. memory is JSON (the last windows and evidence), detector the logarithms of the e-detector.';
COMMENT ON COLUMN alarms.reference_kind IS 'pinned, seasonal or deploy.';
