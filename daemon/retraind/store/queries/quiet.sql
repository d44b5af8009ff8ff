-- Mutes, holds and deploys (evaluate/mutes.py, holds.py, service_versions.py).

-- name: read_mutes
-- Every mute, also those that are over.
select id, monitor, service_name, environment, model, cohort, feature,
       epoch_ns(starts_at) as starts_ns, epoch_ns(ends_at) as ends_ns, reason
from state.mutes

-- name: list_mutes
-- Some mutes with who set them, those that last longest first.
select id, monitor, service_name, environment, model, cohort, feature, starts_at, ends_at, reason,
       created_by, created_at
from state.mutes
where id in (select unnest($ids))
order by ends_at desc, id

-- name: end_mutes
-- A mute that is ended early covers what was decided while it stood, and no more.
update state.mutes set ends_at = make_timestamp_ns($ends), ended_by = $by where id = $id

-- name: delete_mutes
-- Mutes that were over before so many others.
delete from state.mutes where id in (select unnest($ids))

-- name: read_holds
-- Every hold, also those that are over.
select id, kind, monitor, service_name, environment, model, cause,
       epoch_ns(starts_at) as starts_ns, epoch_ns(expires_at) as expires_ns
from state.holds

-- name: release_hold
-- A hold that somebody ended early.
update state.holds set expires_at = make_timestamp_ns($expires), released_by = $by where id = $id

-- name: delete_holds
-- Holds that were over before so many others.
delete from state.holds where id in (select unnest($ids))

-- name: read_deploys
-- The newest versions of every source.
select service_name, environment, version, epoch_ns(first_seen) as first_ns from state.deploys

-- name: delete_deploys
-- Before the versions of a source are written again.
delete from state.deploys where service_name = $service_name and environment = $environment

-- name: judge_panes
-- The hours in which versions of an evaluation have results.
select distinct version, epoch_ns(pane_start) as pane_ns
from state.panes
where series_id = $series and feature = $feature and kind in ('rate', 'score') and sessions > missing
  and pane_start >= make_timestamp_ns($first) and pane_start < make_timestamp_ns($last)

-- name: forget_holds
-- A source that is no longer heard of.
delete from state.holds where service_name = $service_name and environment = $environment
