-- name: list_episodes
-- Episodes with what they asked for, newest first.
select e.id, e.monitor, e.service_name, e.environment, e.model, e.opened_at, e.closed_at, e.status,
       t.id as trigger_id, t.reason, t.created_at as asked_at,
       json_array_length(e.children)::integer as alarms
from state.episodes e left join state.triggers t on t.episode_id = e.id
order by e.opened_at desc, e.id
limit $limit

-- name: find_episodes
-- Episodes and triggers whose ids begin so; one that the schedule asked for has no episode.
select e.id, coalesce(e.monitor, t.monitor) as monitor,
       coalesce(e.service_name, t.service_name) as service_name,
       coalesce(e.environment, t.environment) as environment, coalesce(e.model, t.model) as model,
       e.opened_at, e.closed_at, e.status, e.children, e.attribution, t.id as trigger_id, t.event, t.decided_for,
       t.created_at as asked_at,
       epoch_ns(coalesce(t.decided_for, e.closed_at)) as until_ns
from state.episodes e full join state.triggers t on t.episode_id = e.id
where starts_with(coalesce(e.id, ''), $id) or starts_with(coalesce(t.id, ''), $id)
order by e.id, t.id
limit 20

-- name: last_trigger
-- The newest trigger of a policy up to a time, which its cooldown counts from.
select id, epoch_ns(decided_for) as decided_ns
from state.triggers
where monitor = $monitor and service_name = $service_name and environment = $environment
  and model = $model and decided_for <= make_timestamp_ns($until)
order by decided_for desc
limit 1

-- name: last_results
-- The newest results up to a time of every feature of some series, newest first.
select series_id, feature, version, kind, reference_kind, window_start, window_end, sessions, n, m, method, verdict,
       psi_corrected, psi_lower, p_value, in_family, rate, rate_lower, rate_upper, baseline_rate,
       baseline_upper, log_e_value, log_threshold, mean, contributions, change,
       epoch_ns(window_end) as end_ns
from state.windows
where series_id in (select unnest($series))
  and window_end > make_timestamp_ns($since) and window_end <= make_timestamp_ns($until)
qualify row_number() over (
  partition by series_id, feature, version, kind, reference_kind order by window_end desc) <= $windows
order by series_id, feature, version, kind, reference_kind, window_end desc

-- name: sessions_of_series
-- Sessions of each series before its open window, and in it.
select s.id as series_id,
       coalesce(sum(p.sessions) filter (where p.pane_start < s.window_start), 0)::bigint as closed,
       coalesce(sum(p.sessions) filter (where p.pane_start >= s.window_start), 0)::bigint as open
from state.series s left join state.panes p on p.series_id = s.id and p.feature = 'sessions'
where s.id in (select unnest($series))
group by s.id

-- name: active_references
-- What each of some series is compared with.
select id, series_id, kind, source, created_at, sessions
from state."references"
where active and series_id in (select unnest($series))

-- name: deliveries_of_trigger
-- Where a trigger was sent, and what came of it.
select destination, status, attempts, last_status
from state.outbox
where trigger_id = $id
order by destination
