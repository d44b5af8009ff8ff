-- The views that stand on more than one table; see store/views.py.

-- name: span_contents
-- What log records say of each span: a record with everything first, else one record a message, in
-- the order of their times; a record that was sent again counts once. The messages that are asked
-- are cited by the user's, the last name of the alphabet. Segments before version 3 do not know
-- whether a record was incomplete.
with told as (
  from {span_details}
  union all by name
  select null::boolean as content_incomplete where false
), records as (
  select min(seq) as seq, * exclude (seq, received_at),
         event_name = 'gen_ai.client.inference.operation.details' as whole
  from told
  group by all
)
select trace_id, span_id,
  first(session_id order by time, seq) filter (where session_id is not null) as session_id,
  first(user_id order by time, seq) filter (where user_id is not null) as user_id,
  coalesce(
    first(finish_reasons order by time, seq) filter (where whole and finish_reasons is not null),
    flatten(list(finish_reasons order by time, seq) filter (where finish_reasons is not null))
  ) as finish_reasons,
  coalesce(
    first(input_messages order by time, seq) filter (where whole and input_messages is not null),
    '[' || string_agg(substr(input_messages, 2, length(input_messages) - 2), ',' order by time, seq) || ']'
  ) as input_messages,
  coalesce(
    first(output_messages order by time, seq) filter (where whole and output_messages is not null),
    '[' || string_agg(substr(output_messages, 2, length(output_messages) - 2), ',' order by time, seq) || ']'
  ) as output_messages,
  coalesce(
    first(system_instructions order by time, seq) filter (where whole and system_instructions is not null),
    string_agg(system_instructions, e'\n\n' order by time, seq)
  ) as system_instructions,
  coalesce(
    first(input_text order by time, seq) filter (where whole and input_text is not null),
    last(input_text order by time, seq) filter (where input_text is not null)
  ) as input_text,
  coalesce(
    first(output_text order by time, seq) filter (where whole and output_text is not null),
    first(output_text order by time, seq) filter (where output_text is not null)
  ) as output_text,
  first(tool_definitions order by time, seq) filter (where tool_definitions is not null) as tool_definitions,
  coalesce(
    first(called_tools order by time, seq) filter (where whole and called_tools is not null),
    flatten(list(called_tools order by time, seq) filter (where called_tools is not null))
  ) as called_tools,
  bool_or(content_incomplete) as content_incomplete,
  json_merge_patch(
    json_object(
      'input_messages', max(json_extract_string(norm_source, '$.input_messages')),
      'output_messages', max(json_extract_string(norm_source, '$.output_messages')),
      'system_instructions', max(json_extract_string(norm_source, '$.system_instructions')),
      'input_text', max(json_extract_string(norm_source, '$.input_text')),
      'output_text', max(json_extract_string(norm_source, '$.output_text'))
    ),
    json_merge_patch(
      json_object(
        'session_id', max(json_extract_string(norm_source, '$.session_id')),
        'user_id', max(json_extract_string(norm_source, '$.user_id')),
        'finish_reasons', max(json_extract_string(norm_source, '$.finish_reasons')),
        'tool_definitions', max(json_extract_string(norm_source, '$.tool_definitions'))
      ),
      coalesce(max(norm_source) filter (where whole), '{}')::json
    )
  ) as norm_source
from records
group by trace_id, span_id

-- name: spans_with_details
-- Each span, and where it has nothing itself, what log records say of it.
select s.* replace (
  coalesce(s.session_id, d.session_id) as session_id,
  coalesce(s.user_id, d.user_id) as user_id,
  coalesce(s.finish_reasons, d.finish_reasons) as finish_reasons,
  coalesce(s.input_messages, d.input_messages) as input_messages,
  coalesce(s.output_messages, d.output_messages) as output_messages,
  coalesce(s.system_instructions, d.system_instructions) as system_instructions,
  coalesce(s.input_text, d.input_text) as input_text,
  coalesce(s.output_text, d.output_text) as output_text,
  coalesce(s.tool_definitions, d.tool_definitions) as tool_definitions,
  coalesce(s.called_tools, d.called_tools) as called_tools,
  coalesce(s.content_incomplete, d.content_incomplete) as content_incomplete,
  case when d.norm_source is null then s.norm_source
       else nullif(json_merge_patch('{}'::json, d.norm_source, coalesce(s.norm_source, '{}')::json)::varchar, '{}')
  end as norm_source
)
from {spans} s left join ({span_contents}) d using (trace_id, span_id)

-- name: distinct_evaluations
-- Each result once: of rows alike that tracing brought within five minutes of one another, or under
-- one idempotency key, the log's before the event's before the attribute's, then the first. Rows of
-- the API are all shown: it knows its own repetitions.
select * exclude (carrier)
from (
  select *, list_position(['log', 'event', 'attribute', 'span'], split_part(source, ':', 1)) as carrier
  from {evaluations}
)
qualify carrier is null or carrier * 1000000000000000000 + seq = case
  when idempotency_key is not null then min(carrier * 1000000000000000000 + seq) over (
    partition by trace_id, span_id, name, idempotency_key, carrier is null)
  else min(carrier * 1000000000000000000 + seq) over (
    partition by trace_id, span_id, case when trace_id is null then response_id end,
      name, evaluator, evaluator_version, score, label, error_type, idempotency_key, carrier is null
    order by epoch_ns(time)
    range between 300000000000 preceding and 300000000000 following)
  end

-- name: placed_evaluations
-- Those that name but the response that they judge, with the ids of its span: the first that has it.
with calls as (
  select response_id, arg_min(trace_id, seq) as trace_id, arg_min(span_id, seq) as span_id
  from {spans}
  where response_id in (select response_id from {evaluations} where trace_id is null)
  group by response_id
)
select e.* replace (
  coalesce(e.trace_id, c.trace_id) as trace_id,
  coalesce(e.span_id, c.span_id) as span_id
)
from ({distinct}) e left join calls c on e.trace_id is null and e.response_id = c.response_id
