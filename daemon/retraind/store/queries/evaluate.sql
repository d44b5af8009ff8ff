-- Reads of stored rows ({spans}, {evaluations}) and of the state file for the evaluation tick.

-- name: new_rows
-- Rows committed after $after, in order of commitment, for watermarks and touched hours.
-- Names are cut where the panes cut theirs.
select left(coalesce(service_name, ''), 128) as service_name,
       left(coalesce(environment, ''), 128) as environment,
       epoch_ns(start_time) as event_ns,
       epoch_ns(received_at) as received_ns
from {spans}
where seq <= $through and start_time is not null
order by seq

-- name: new_versions
-- Versions of services in rows committed after $after, and when their first span began.
select left(coalesce(service_name, ''), 128) as service_name,
       left(coalesce(environment, ''), 128) as environment,
       left(service_version, 128) as version,
       min(epoch_us(start_time)) * 1000 as first_ns
from {spans}
where seq <= $through and service_version <> '' and start_time <= received_at + interval 5 minute
group by all
order by first_ns, service_name, environment, version
limit 1000

-- name: shared_traces
-- Sources with spans in the traces of rows in ($after, $through], and the hours of those rows: what
-- a row changes in the panes of other services.
with fresh as (
  select distinct trace_id, date_trunc('hour', start_time) as hour
  from {spans} where seq > $after and seq <= $through
)
select distinct left(coalesce(service_name, ''), 128) as service_name,
       left(coalesce(environment, ''), 128) as environment, epoch_ns(fresh.hour) as hour_ns
from {spans} join fresh using (trace_id)
where seq <= $through

-- name: rows_per_hour
-- Stored rows of one source by hour of event time, to cut long ranges into bounded pieces.
select epoch_ns(date_trunc('hour', start_time)) as hour_ns, count(*) as n
from {spans}
where left(coalesce(service_name, ''), 128) = $service_name
  and left(coalesce(environment, ''), 128) = $environment
group by all
order by all

-- name: pane_spans
-- Spans of a time range in traces of one source, with the columns that the monitors read ({extra}).
-- Spans before $pane_start are context: only those of traces that go on, or are judged, from there
-- on, and only with what is inherited or names a version ({context}): features, texts among them,
-- are read for the panes' own hours alone, also from log records.
with stored as not materialized (
  select * from {spans} where seq <= $through
),
mine as materialized (
  select distinct trace_id from stored
  where left(coalesce(service_name, ''), 128) = $service_name
    and left(coalesce(environment, ''), 128) = $environment
    and (start_time >= make_timestamp_ns($pane_start) or trace_id in (
      select trace_id from {evaluations} where seq <= $through))
)
select seq, trace_id, span_id, parent_span_id, start_time, service_name, environment, operation,
       request_model, response_model, session_id, run_id, variant,
       memory.main.call_part(operation, scope_name, status, duration_ns, input_tokens,
         output_tokens, attributes) as part{extra}
from {told_spans} semi join mine using (trace_id)
where start_time >= make_timestamp_ns($pane_start) and seq <= $through
union all by name
select seq, trace_id, span_id, parent_span_id, start_time, service_name, environment, operation,
       request_model, response_model, session_id, run_id, variant,
       memory.main.call_part(operation, scope_name, status, duration_ns, input_tokens,
         output_tokens, attributes) as part{context}
from {told_spans} semi join mine using (trace_id)
where start_time < make_timestamp_ns($pane_start) and seq <= $through

-- name: window_spans
-- Spans of a time range in traces of one source, of the sessions (else traces) whose hash is low.
with mine as (
  select trace_id from {spans}
  where seq <= $through
  group by trace_id
  having bool_or(left(coalesce(service_name, ''), 128) = $service_name
      and left(coalesce(environment, ''), 128) = $environment)
    and '0' || left(md5(coalesce(min(session_id), trace_id)), 8) < $below
)
select seq, trace_id, span_id, parent_span_id, start_time, service_name, environment, operation,
       request_model, response_model, session_id, run_id, variant,
       memory.main.call_part(operation, scope_name, status, duration_ns, input_tokens,
         output_tokens, attributes) as part{extra}
from {told_spans} semi join mine using (trace_id)
where seq <= $through

-- name: judged_spans
-- Earlier spans of traces that are judged long after: of those that one source takes part in.
with old as (
  select * from {told_spans} where trace_id in (select unnest($traces)) and seq <= $through
),
mine as (
  select distinct trace_id from old
  where left(coalesce(service_name, ''), 128) = $service_name
    and left(coalesce(environment, ''), 128) = $environment
)
select seq, trace_id, span_id, parent_span_id, start_time, service_name, environment, operation,
       request_model, response_model, session_id, run_id, variant,
       memory.main.call_part(operation, scope_name, status, duration_ns, input_tokens,
         output_tokens, attributes) as part{context}
from old semi join mine using (trace_id)

-- name: spans_of_traces
-- Which spans of these traces there are.
select distinct trace_id, span_id
from {spans}
where trace_id in (select unnest($traces)) and seq <= $through

-- name: pane_evaluations
-- Automated results of an hour range by their own time, and what repeats them around it.
select seq, coalesce(time, received_at) as time, trace_id, span_id, response_id, session_id, name,
       score, label, passed, evaluator, evaluator_version, error_type, kind, source,
       idempotency_key, run_id, variant
from {evaluations}
where seq <= $through and kind = 'automated'

-- name: pane_feedback
-- What people say, whenever they do, of calls from a time on.
select seq, coalesce(time, received_at) as time, trace_id, span_id, response_id, session_id, name,
       score, label, passed, evaluator, evaluator_version, error_type, kind, source,
       idempotency_key, run_id, variant
from {evaluations}
where seq <= $through and kind <> 'automated'

-- name: spans_of_responses
-- The span that gave each of these responses.
select response_id, arg_min(trace_id, seq) as trace_id, arg_min(span_id, seq) as span_id
from {spans}
where response_id in (select unnest($responses)) and seq <= $through
group by response_id

-- name: first_spans
-- The span of each of these traces that began first.
select trace_id, arg_min(span_id, (start_time, seq)) as span_id
from {spans}
where trace_id in (select unnest($traces)) and start_time is not null and seq <= $through
group by trace_id

-- name: traces_of_sessions
-- The newest trace of each of these sessions at a time.
with asked as (
  select unnest($sessions) as session_id, make_timestamp_ns(unnest($times)) as at
)
select asked.session_id, epoch_ns(asked.at) as at, arg_max(s.trace_id, s.start_time) as trace_id
from asked join {spans} s using (session_id)
where s.start_time <= asked.at and s.seq <= $through
group by asked.session_id, asked.at

-- name: fresh_judgements
-- What has come besides spans: details, feedback, and results of hours before $closed.
select
  (select count(*) from {span_details} where seq <= $through) as details,
  count(*) filter (where kind <> 'automated') as feedback,
  count(*) filter (where kind = 'automated'
    and coalesce(time, received_at) < make_timestamp_ns($closed)) as late
from {evaluations}
where seq <= $through

-- name: hours_of_details
-- Sources and hours of spans that new log records tell of.
select distinct left(coalesce(service_name, ''), 128) as service_name,
       left(coalesce(environment, ''), 128) as environment,
       epoch_ns(date_trunc('hour', start_time)) as hour_ns
from {spans} semi join {span_details} using (trace_id, span_id)
where seq <= $through

-- name: hours_of_feedback
-- Sources and hours of the traces that new feedback is about.
with fresh as (
  select distinct trace_id, response_id, session_id from {evaluations}
  where kind <> 'automated' and seq <= $through
)
select distinct left(coalesce(service_name, ''), 128) as service_name,
       left(coalesce(environment, ''), 128) as environment,
       epoch_ns(date_trunc('hour', start_time)) as hour_ns
from {spans}
where seq <= $through and (
  trace_id in (select trace_id from fresh where trace_id is not null)
  or response_id in (select response_id from fresh where trace_id is null and response_id is not null)
  or session_id in (select session_id from fresh where trace_id is null and session_id is not null))

-- name: hours_of_late_evaluations
-- Sources that new results of hours before $closed are about, and the hours of the results.
with fresh as (
  select trace_id, response_id, coalesce(time, received_at) as time from {evaluations}
  where kind = 'automated' and seq <= $through
    and coalesce(time, received_at) < make_timestamp_ns($closed)
),
judged as (
  select service_name, environment, time
  from {spans} s join fresh on s.trace_id = fresh.trace_id
  where s.seq <= $through
  union all
  select service_name, environment, time
  from {spans} s join fresh on fresh.trace_id is null and s.response_id = fresh.response_id
  where s.seq <= $through
)
select distinct left(coalesce(service_name, ''), 128) as service_name,
       left(coalesce(environment, ''), 128) as environment,
       epoch_ns(date_trunc('hour', time)) as hour_ns
from judged

-- name: hours_that_waited
-- Sources of new spans that results have waited for, and the hours of the results.
with judged as (
  select service_name, environment, coalesce(e.time, e.received_at) as time
  from {spans} s join {evaluations} e on s.trace_id = e.trace_id
  where s.seq <= $through and e.seq <= $through and e.kind = 'automated'
  union all
  select service_name, environment, coalesce(e.time, e.received_at) as time
  from {spans} s join {evaluations} e on e.trace_id is null and s.response_id = e.response_id
  where s.seq <= $through and e.seq <= $through and e.kind = 'automated'
)
select distinct left(coalesce(service_name, ''), 128) as service_name,
       left(coalesce(environment, ''), 128) as environment,
       epoch_ns(date_trunc('hour', time)) as hour_ns
from judged

-- name: deleted_through
-- Up to which event time rows may be missing: deleted by retention, or in a file that was set aside.
-- Event times after sealing are a wrong clock's; an unsealed file may reach a day past its creation.
select coalesce(max(epoch_ns(
  coalesce(least(last_time, sealed_at), created_at + interval 1 day))), 0) as deleted_ns
from state.segments
where status in ('dropped', 'quarantined')

-- name: read_progress
-- How far panes have been built.
select through_seq from state.progress

-- name: write_progress
-- Everything up to $through is now in the panes.
update state.progress set through_seq = $through

-- name: read_watermarks
-- Clocks of all sources.
select service_name, environment, max_event_ns, last_arrival_ns, lateness_counts,
       epoch_ns(closed_through) as closed_ns
from state.watermarks

-- name: delete_watermark
-- Before a source's clock is written again.
delete from state.watermarks
where service_name = $service_name and environment = $environment

-- name: move_closed
-- Panes of a source are built up to here.
update state.watermarks set closed_through = make_timestamp_ns($closed)
where service_name = $service_name and environment = $environment

-- name: read_series
-- Every known series.
select id, monitor, service_name, environment, model, cohort,
       epoch_ns(first_pane) as first_ns, epoch_ns(window_start) as window_ns
from state.series

-- name: move_windows
-- The next decision window of these series begins here.
update state.series set window_start = make_timestamp_ns($start)
where id in (select unnest($series))

-- name: delete_panes
-- The panes of one source in an hour range, before they are written again.
delete from state.panes
where pane_start >= make_timestamp_ns($first) and pane_start < make_timestamp_ns($last)
  and series_id in (
    select id from state.series
    where service_name = $service_name and environment = $environment)

-- name: read_panes
-- Panes of some series in an hour range, in no order: sorting moves the lists.
select series_id, epoch_ns(pane_start) as pane_start_ns, feature, version, kind, sessions, missing,
       buckets, categories, counts, total, total_squares, results, failures
from state.panes
where series_id in (select unnest($series))
  and pane_start >= make_timestamp_ns($first) and pane_start < make_timestamp_ns($last)

-- name: open_sessions
-- Sessions per pane of every series of a source that no closed window covers yet.
select p.series_id, epoch_ns(p.pane_start) as pane_ns, p.sessions
from state.panes p join state.series s on p.series_id = s.id
where s.service_name = $service_name and s.environment = $environment
  and p.feature = 'sessions' and p.pane_start >= s.window_start
  and p.pane_start < make_timestamp_ns($closed)
order by p.series_id, p.pane_start

-- name: first_panes
-- When each feature of some series came first.
select series_id, feature, version, kind, epoch_ns(min(pane_start)) as first_ns
from state.panes
where series_id in (select unnest($series)) and pane_start < make_timestamp_ns($last)
group by all

-- name: pane_sessions
-- Sessions per pane of one series, newest first.
select epoch_ns(pane_start) as pane_ns, sessions
from state.panes
where series_id = $series and feature = 'sessions'
  and pane_start >= make_timestamp_ns($first) and pane_start < make_timestamp_ns($last)
order by pane_start desc

-- name: eval_totals
-- All evaluation results ever counted, for the counters that Prometheus reads.
select series_id, feature, version, sum(results)::bigint as results, sum(failures)::bigint as failures
from state.panes
where kind = 'rate'
group by all

-- name: read_alarms
-- State machines of all watched features.
select series_id, feature, version, kind, reference_kind, memory, detector,
       epoch_ns(last_data) as last_data_ns
from state.alarms

-- name: delete_alarms
-- Before the alarms of these series are written again.
delete from state.alarms where series_id in (select unnest($series))

-- name: reset_detectors
-- A detector's evidence is against one baseline: with another reference it starts anew.
update state.alarms set detector = [] where series_id in (select unnest($series))

-- name: read_policies
-- Memory of all policies.
select monitor, service_name, environment, model, memory from state.policies

-- name: delete_policy
-- Before a policy is written again.
delete from state.policies
where monitor = $monitor and service_name = $service_name and environment = $environment
  and model = $model

-- name: close_episode
-- An episode ends when all its alarms have resolved.
update state.episodes set closed_at = make_timestamp_ns($closed), status = 'closed' where id = $id

-- name: join_episode
-- Further alarms joined an open episode: both are JSON arrays.
update state.episodes
set children = to_json(list_concat(from_json(children, '["VARCHAR"]'), from_json($children, '["VARCHAR"]')))
where id = $id

-- name: attribute_episode
-- What moved is told anew when an episode asks for retraining.
update state.episodes set attribution = $attribution where id = $id

-- name: last_windows
-- The results of the last window of each series, for metrics after a restart.
select w.*, epoch_ns(w.window_end) as end_ns
from state.windows w
join (select series_id, max(window_end) as window_end from state.windows group by all)
  using (series_id, window_end)

-- name: list_triggers
-- Triggers with their events, newest first.
select id, episode_id, monitor, service_name, environment, model, reason, decided_for, created_at,
       event
from state.triggers
order by created_at desc, id
limit $limit

-- name: newest_triggers
-- Triggers for the status page, newest first.
select id, monitor, service_name, environment, model, reason,
       epoch_ns(decided_for) as decided_for_ns, epoch_ns(created_at) as created_ns
from state.triggers
order by created_at desc, id
limit $limit

-- name: newest_windows
-- Window results for the status page, newest first.
select s.monitor, s.service_name, s.environment, s.model, s.cohort, w.feature, w.reference_kind,
       w.sessions, w.verdict, w.psi_corrected, w.p_value, w.rate, epoch_ns(w.window_end) as end_ns
from state.windows w join state.series s on w.series_id = s.id
where w.verdict <> 'context'
order by w.window_end desc, s.monitor, s.service_name, s.model, s.cohort, w.feature,
  w.reference_kind
limit $limit

-- name: list_series
-- Series with their reference and the states of their alarms.
select s.monitor, s.service_name, s.environment, s.model, s.cohort,
       epoch_ns(s.window_start) as window_start_ns, r.id as reference_id, a.feature, a.state
from state.series s
left join state."references" r on r.series_id = s.id and r.active
left join state.alarms a on a.series_id = s.id
order by all
limit $limit
