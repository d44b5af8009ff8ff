-- What a replay reads of the recorded state file, and of what it decides in its own.

-- name: recorded_ticks
-- Up to which seq rows had been read when something was decided (now_ns: the wall time of that), and
-- when panes were built that nothing has built again.
with ticks as (
  select distinct through_seq, epoch_ns(evaluated_at) as now_ns from state.windows
)
select through_seq, now_ns from ticks
union all
select distinct through_seq, null from state.panes
where through_seq not in (select through_seq from ticks)
order by through_seq, now_ns

-- name: recorded_windows
-- The verdict of every decision window that ended in a time range.
select series_id, feature, version, kind, reference_kind, epoch_ns(window_start) as start_ns,
       epoch_ns(window_end) as end_ns, sessions, n, coalesce(failures, 0) as failures, verdict,
       through_seq
from state.windows
where window_end >= make_timestamp_ns($first) and window_end < make_timestamp_ns($last)
order by window_end, series_id, feature, version, kind, reference_kind

-- name: window_results
-- Every result as numbers, for a fingerprint of all that was found.
select series_id, feature, version, kind, reference_kind, window_start, window_end, sessions, n,
       reference_id, m,
       verdict, psi_corrected, psi_lower, statistic, p_value, in_family, rate, rate_lower,
       rate_upper, log_e_value, log_threshold, results, failures, mean
from state.windows
order by all

-- name: next_window_ends
-- Where the first decision window ended that ended at or after a time.
select series_id, epoch_ns(min(window_end)) as end_ns
from state.windows
where window_end >= make_timestamp_ns($first)
group by all

-- name: recorded_references
-- Every reference that ever was the active one, in the order of creation.
select id, series_id, kind, source, epoch_ns(created_at) as created_ns,
       epoch_ns(first_time) as first_ns, epoch_ns(last_time) as last_ns, sessions,
       epoch_ns(active_from) as active_from_ns
from state."references"
where active_from is not null
order by created_at, series_id, id

-- name: references_of_people
-- What people have pinned or accepted, and when, in that order.
select r.id, r.series_id, r.kind, r.source, epoch_ns(l.logged_at) as created_ns,
       epoch_ns(r.first_time) as first_ns, epoch_ns(r.last_time) as last_ns, r.sessions,
       epoch_ns(r.active_from) as active_from_ns
from state.reference_log l
join state."references" r on r.id = l.reference_id and r.series_id = l.series_id
where l.action in ('pinned', 'accepted') and l.actor <> 'auto'
order by l.logged_at, r.series_id, r.id

-- name: recorded_triggers
-- Triggers of windows that ended in a time range, with their events.
select id, episode_id, monitor, service_name, environment, model,
       epoch_ns(decided_for) as decided_for_ns, epoch_ns(created_at) as created_ns, event
from state.triggers
where decided_for >= make_timestamp_ns($first) and decided_for < make_timestamp_ns($last)
order by decided_for, monitor, service_name, environment, model, id

-- name: segments_gone
-- Segments whose rows cannot be read any more: nothing they took part in may be built again.
select * from state.segments where status in ('dropped', 'quarantined')

-- name: mutes_of_people
-- What people have silenced: event times say when.
select * from state.mutes

-- name: holds_of_people
-- Holds that people ended early: a replay finds the same holds, and leaves these as they are.
select * from state.holds where released_by is not null

-- name: arrival_of
-- When the last row up to a seq arrived.
select max(epoch_ns(received_at)) as now_ns from {spans} where seq <= $through

-- name: hours_of_sources
-- First and last hour of the spans of every source; clocks that ran ahead do not count.
select left(coalesce(service_name, ''), 128) as service_name,
       left(coalesce(environment, ''), 128) as environment,
       epoch_ns(date_trunc('hour', min(start_time))) as first_ns,
       epoch_ns(date_trunc('hour', max(start_time))) as last_ns
from {spans}
where seq <= $through and start_time <= received_at + interval 5 minute
group by all
order by all
