-- Deletes from the state file what the evaluation no longer needs (evaluate/tidy.py).

-- name: sum_old_rates
-- Fail-rate panes of a source before a time become one row each: only their totals are still read.
insert into state.panes by name
select series_id, make_timestamp_ns($before) as pane_start, feature, version, kind, 0 as sessions,
       0 as missing, []::integer[] as buckets, []::bigint[] as counts, 0 as total,
       0 as total_squares, sum(results)::bigint as results, sum(failures)::bigint as failures,
       max(through_seq) as through_seq
from state.panes
where kind = 'rate' and pane_start < make_timestamp_ns($before) and series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)
group by all

-- name: delete_old_panes
-- Panes of a source before a time.
delete from state.panes
where pane_start < make_timestamp_ns($before) and series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)

-- name: delete_old_windows
-- Results of a source before a time.
delete from state.windows
where window_end < make_timestamp_ns($before) and series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)

-- name: forget_panes
-- A source that is no longer heard of.
delete from state.panes where series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)

-- name: forget_windows
-- A source that is no longer heard of.
delete from state.windows where series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)

-- name: forget_alarms
-- A source that is no longer heard of.
delete from state.alarms where series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)

-- name: forget_reference_counts
-- A source that is no longer heard of.
delete from state.reference_counts where series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)

-- name: forget_references
-- A source that is no longer heard of.
delete from state."references" where series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)

-- name: forget_reference_log
-- A source that is no longer heard of.
delete from state.reference_log where series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)

-- name: forget_versions
-- A source that is no longer heard of.
delete from state.versions where series_id in (
  select id from state.series where service_name = $service_name and environment = $environment)

-- name: forget_series
-- A source that is no longer heard of.
delete from state.series where service_name = $service_name and environment = $environment

-- name: forget_policies
-- A source that is no longer heard of.
delete from state.policies where service_name = $service_name and environment = $environment
