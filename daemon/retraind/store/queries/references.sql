-- Pinned references: which are active, proposed or past, their counts, and who made them so; and what
-- the other kinds of reference are made from.

-- name: read_references
-- Active references of every series.
select id, series_id, kind, source, epoch_ns(created_at) as created_ns,
       epoch_ns(first_time) as first_ns, epoch_ns(last_time) as last_ns, sessions,
       epoch_ns(active_from) as active_from_ns
from state."references"
where active

-- name: list_references
-- Every reference with its series, active ones first, then those proposed, then the newest.
select r.id, r.series_id, s.monitor, s.service_name, s.environment, s.model, s.cohort, r.kind,
       case when r.active then 'active' when r.proposed then 'proposed' else 'superseded' end as state,
       r.source, r.created_at, r.first_time, r.last_time, r.sessions, r.active
from state."references" r join state.series s on r.series_id = s.id
order by r.active desc, r.proposed desc, r.created_at desc, r.id

-- name: list_made_references
-- What the last window of each series was compared with besides: sums of panes, which are not kept.
select w.reference_id as id, w.series_id, s.monitor, s.service_name, s.environment, s.model,
       s.cohort, w.reference_kind as kind,
       case when bool_and(w.verdict = 'immature') then 'immature' else 'active' end as state,
       'panes' as source, max(w.evaluated_at) as created_at, null::timestamp as first_time,
       null::timestamp as last_time, max(w.m) as sessions, false as active
from state.windows w join state.series s on w.series_id = s.id and w.window_end = s.window_start
where w.reference_kind <> 'pinned'
group by all
order by all

-- name: find_references
-- References whose id begins so, with their series; the active one of equal ids first.
select id, series_id, kind, source, epoch_ns(created_at) as created_ns,
       epoch_ns(first_time) as first_ns, epoch_ns(last_time) as last_ns, sessions, active, proposed
from state."references"
where starts_with(id, $id)
order by active desc, proposed desc, created_at desc, series_id

-- name: read_reference_counts
-- The frozen counts of one reference.
select feature, version, kind, hour_of_week, missing, buckets, categories, counts, total,
       total_squares, results, failures
from state.reference_counts
where reference_id = $id and series_id = $series_id
order by feature, version, hour_of_week

-- name: retire_references
-- A series has one active reference: the older ones step back.
update state."references" set active = false where active and series_id in (select unnest($series))

-- name: retire_proposals
-- A series has one proposed reference: the older ones step back.
update state."references" set proposed = false
where proposed and series_id in (select unnest($series))

-- name: activate_reference
-- A reference of this series becomes the one that windows are compared with.
update state."references"
set active = true, proposed = false, active_from = make_timestamp_ns($active_from)
where id = $id and series_id = $series_id

-- name: delete_references
-- A reference that is pinned again with equal contents is written again.
delete from state."references"
where (id, series_id) in (select unnest($ids), unnest($series))

-- name: delete_reference_counts
-- See delete_references.
delete from state.reference_counts
where (reference_id, series_id) in (select unnest($ids), unnest($series))

-- name: summarise_reference
-- Sessions that a reference has of each feature; several series may have one of equal contents.
select feature, version, kind, sum(list_sum(counts))::bigint as sessions, sum(missing)::bigint as missing
from state.reference_counts
where reference_id = $id
  and series_id = (select min(series_id) from state.reference_counts where reference_id = $id)
group by all
order by all

-- name: read_versions
-- Versions that each series has had.
select series_id, version, epoch_ns(first_time) as first_ns
from state.versions

-- name: first_versions
-- When each version of some series came first within a time range.
select series_id, version, min(pane_ns) as first_ns
from (
  select series_id, unnest(categories) as version, epoch_ns(pane_start) as pane_ns
  from state.panes
  where feature = 'versions' and series_id in (select unnest($series))
    and pane_start >= make_timestamp_ns($first) and pane_start < make_timestamp_ns($last)
)
group by all
order by all

-- name: alarmed_windows
-- Windows of an open alarm, or that spoke for one, in what seasonal and trailing references may reach.
-- Not those that a pinned reference of other hours finds strange: that may be the season.
select w.series_id, w.feature, w.version, w.kind, epoch_ns(w.window_start) as start_ns,
       epoch_ns(w.window_end) as end_ns
from state.windows w join state.series s on w.series_id = s.id
where w.window_end > s.window_start - to_days($days::integer)
  and (w.alarm_state in ('firing', 'resolving')
    or (w.in_family and w.verdict in ('investigate', 'retrain')))
  and (w.reference_kind <> 'pinned' or w.reference_hours in ('hour_of_week', 'kind_of_day'))
group by all
order by w.series_id, start_ns
