-- Usage and cost, each call once: macros that the pane queries use, too, and the view `usage`.
-- {exclusive} is made from exclusive.toml; {view} says where the view is made.

-- name: usage_macros
-- How a call counts its input tokens; NULL when it has none. The first that holds: fewer than the
-- cached ones (exclusive_by_count); the total adds up only with the cached ones on top
-- (exclusive_by_total); the emitter is known to leave them out (exclusive_by_emitter).
CREATE OR REPLACE MACRO memory.main.input_branch(
  convention, scope_name, provider, norm_source, input, output, total, cached, reasoning
) AS CASE
  WHEN input IS NULL THEN NULL
  WHEN cached = 0 THEN 'inclusive'
  WHEN input < cached THEN 'exclusive_by_count'
  WHEN total IN (input + cached + coalesce(output, 0),
                 input + cached + coalesce(output, 0) + reasoning) THEN 'exclusive_by_total'
  WHEN {exclusive} THEN 'exclusive_by_emitter'
  ELSE 'inclusive'
END;

-- Input tokens with the cached ones, whichever way the call counts them.
CREATE OR REPLACE MACRO memory.main.input_total(
  convention, scope_name, provider, norm_source, input, output, total, cached, reasoning
) AS CASE
  WHEN memory.main.input_branch(
    convention, scope_name, provider, norm_source, input, output, total, cached, reasoning
  ) = 'inclusive' THEN input ELSE input + cached
END;

-- What only looks like a call. Logfire announces a span that begins by a child without duration
-- ('pending'), and makes two spans of a streamed call: the first, of the request, never has the answer
-- or its usage ('request'), the second is sent when the stream has ended.
CREATE OR REPLACE MACRO memory.main.call_part(
  operation, scope_name, status, duration_ns, input, output, attributes
) AS CASE
  WHEN operation NOT IN ('chat', 'text_completion', 'embeddings', 'rerank') THEN NULL
  WHEN duration_ns = 0 AND contains(attributes, '"logfire.span_type":"pending_span"')
    THEN 'pending'
  WHEN starts_with(scope_name, 'logfire.') AND status <> 'error' AND input IS NULL
    AND output IS NULL THEN 'request'
END;

-- name: usage_view
-- One row per model call. `up` is what lies above each call, as far as the next one, which wraps it.
-- Two calls of a trace are one when they meet in time and have one response id, or when one runs
-- inside the other, with equal model and tokens, and another library (scope and name) reports it.
-- `place` orders the calls of a trace: of two that are one, the lower stays.
CREATE OR REPLACE {view}usage AS
WITH RECURSIVE inference AS MATERIALIZED (
  SELECT
    trace_id, span_id, parent_span_id, name, scope_name, start_time,
    epoch_ns(start_time) AS start_ns,
    epoch_ns(start_time) + greatest(coalesce(duration_ns, 0), 0) AS end_ns,
    service_name, environment, session_id, operation, provider, request_model, response_model,
    coalesce(request_model, response_model) AS model, response_id, run_id, variant, convention,
    coalesce(status = 'error', false) OR error_type IS NOT NULL AS failed,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost,
    memory.main.input_branch(
      convention, scope_name, provider, norm_source, input_tokens, output_tokens, total_tokens,
      coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0), reasoning_tokens
    ) AS branch,
    coalesce(memory.main.call_part(
      operation, scope_name, status, duration_ns, input_tokens, output_tokens, attributes
    ), 'whole') AS part
  FROM spans
  WHERE operation IN ('chat', 'text_completion', 'embeddings', 'rerank')
), calls AS MATERIALIZED (
  SELECT *,
    CASE WHEN branch = 'inclusive' THEN input_tokens
    ELSE input_tokens + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0)
    END AS input_total_tokens
  FROM inference
  WHERE part <> 'request' AND NOT (part = 'pending' AND (trace_id, parent_span_id) IN (
    SELECT (trace_id, span_id) FROM inference WHERE part <> 'pending'))
), several AS (
  SELECT trace_id FROM calls GROUP BY trace_id HAVING count(*) > 1
), links AS MATERIALIZED (
  SELECT linked.trace_id, linked.span_id, linked.parent_span_id,
    calls.span_id IS NOT NULL AS is_call
  FROM spans linked LEFT JOIN calls USING (trace_id, span_id)
  WHERE linked.parent_span_id <> linked.span_id AND trace_id IN (FROM several)
), up AS (
  SELECT trace_id, span_id AS below, parent_span_id AS span_id FROM links WHERE is_call
  UNION
  SELECT up.trace_id, up.below, links.parent_span_id
  FROM up JOIN links USING (trace_id, span_id)
  WHERE NOT links.is_call
), wrappers AS (
  SELECT trace_id, span_id FROM up WHERE span_id <> below
), leaves AS MATERIALIZED (
  SELECT *, row_number() OVER (
    PARTITION BY trace_id
    ORDER BY input_tokens IS NULL AND output_tokens IS NULL, cost IS NULL,
      cache_read_tokens IS NULL, reasoning_tokens IS NULL, start_time, span_id
  ) AS place
  FROM calls ANTI JOIN wrappers USING (trace_id, span_id)
), same AS (
  SELECT b.trace_id, b.span_id
  FROM leaves a JOIN leaves b USING (trace_id, response_id)
  WHERE a.place < b.place AND a.start_ns <= b.end_ns AND b.start_ns <= a.end_ns
  UNION ALL
  SELECT b.trace_id, b.span_id
  FROM leaves a JOIN leaves b
    ON a.trace_id = b.trace_id AND a.input_total_tokens = b.input_total_tokens
    AND coalesce(a.output_tokens, 0) = coalesce(b.output_tokens, 0)
  WHERE a.place < b.place
    AND (a.request_model = b.request_model OR a.response_model = b.response_model)
    AND (a.scope_name, a.name) IS DISTINCT FROM (b.scope_name, b.name)
    AND (a.start_ns <= b.start_ns AND b.end_ns <= a.end_ns
      OR b.start_ns <= a.start_ns AND a.end_ns <= b.end_ns)
)
SELECT
  trace_id, span_id, start_time, service_name, environment, session_id, operation, provider, model,
  response_model, response_id, run_id, variant, convention, failed,
  input_total_tokens,
  input_total_tokens - coalesce(cache_read_tokens, 0) - coalesce(cache_write_tokens, 0)
    AS input_uncached_tokens,
  cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost, branch
FROM leaves ANTI JOIN same USING (trace_id, span_id);

-- name: usage_comments
COMMENT ON VIEW memory.main.usage IS 'One row per model call: usage and cost, nothing counted twice. Wrappers of a call, announcements of a span and second reports of one call are left out; a failed attempt and its retry are two rows.';
COMMENT ON COLUMN memory.main.usage.trace_id IS 'Trace of the call.';
COMMENT ON COLUMN memory.main.usage.span_id IS 'Span that stands for the call: of two reports of one call, the more complete.';
COMMENT ON COLUMN memory.main.usage.start_time IS 'Start of the call (UTC).';
COMMENT ON COLUMN memory.main.usage.service_name IS 'Service that made the call.';
COMMENT ON COLUMN memory.main.usage.environment IS 'Deployment environment.';
COMMENT ON COLUMN memory.main.usage.session_id IS 'Session id as sent on this span.';
COMMENT ON COLUMN memory.main.usage.operation IS 'chat, text_completion, embeddings or rerank.';
COMMENT ON COLUMN memory.main.usage.provider IS 'Model provider, canonical name.';
COMMENT ON COLUMN memory.main.usage.model IS 'Model asked for, else the one that answered.';
COMMENT ON COLUMN memory.main.usage.response_model IS 'Model that answered.';
COMMENT ON COLUMN memory.main.usage.response_id IS 'Id of the completion as the provider gave it.';
COMMENT ON COLUMN memory.main.usage.run_id IS 'Offline run; NULL for production.';
COMMENT ON COLUMN memory.main.usage.variant IS 'production (or NULL), shadow, candidate or another variant.';
COMMENT ON COLUMN memory.main.usage.convention IS 'Convention of the span.';
COMMENT ON COLUMN memory.main.usage.failed IS 'The attempt ended in an error; a retry is a row of its own.';
COMMENT ON COLUMN memory.main.usage.input_total_tokens IS 'Tokens in the prompt, those from or to the cache included.';
COMMENT ON COLUMN memory.main.usage.input_uncached_tokens IS 'Tokens in the prompt that were neither read from nor written to the cache.';
COMMENT ON COLUMN memory.main.usage.cache_read_tokens IS 'Prompt tokens read from the provider''s cache.';
COMMENT ON COLUMN memory.main.usage.cache_write_tokens IS 'Prompt tokens written to the provider''s cache.';
COMMENT ON COLUMN memory.main.usage.output_tokens IS 'Tokens in the answer, as reported.';
COMMENT ON COLUMN memory.main.usage.reasoning_tokens IS 'Output tokens spent on reasoning.';
COMMENT ON COLUMN memory.main.usage.cost IS 'Cost in US dollars, as reported.';
COMMENT ON COLUMN memory.main.usage.branch IS 'How the span counts its input tokens: inclusive of cached ones, or exclusive: there are fewer than the cached ones (exclusive_by_count), the reported total says so (exclusive_by_total), or its emitter is known to (exclusive_by_emitter).';
