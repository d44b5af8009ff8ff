-- Tables of one segment file. A commit lands wholly in one segment; sealed segments are never altered.
-- Texts that differ from span to span are zstd from the start: trying each method on them was a fifth
-- of the time of sealing, and the choice no smaller (docs/benchmarks.md).
-- No PRIMARY KEY, UNIQUE or index on purpose: they make inserts 2 to 10 times slower (docs/adr/0002).

CREATE TABLE span_rows (
  seq                         BIGINT NOT NULL,
  received_at                 TIMESTAMP_NS NOT NULL,
  trace_id                    VARCHAR NOT NULL,
  span_id                     VARCHAR NOT NULL,
  parent_span_id              VARCHAR,
  name                        VARCHAR,
  kind                        VARCHAR,
  start_time                  TIMESTAMP_NS,
  duration_ns                 BIGINT,
  status                      VARCHAR,
  status_message              VARCHAR,
  service_name                VARCHAR,
  service_version             VARCHAR,
  environment                 VARCHAR,
  scope_name                  VARCHAR,
  scope_version               VARCHAR,
  session_id                  VARCHAR,
  user_id                     VARCHAR,
  tenant_id                   VARCHAR,
  operation                   VARCHAR,
  provider                    VARCHAR,
  request_model               VARCHAR,
  response_model              VARCHAR,
  model_version               VARCHAR,
  response_id                 VARCHAR,
  input_tokens                BIGINT,
  output_tokens               BIGINT,
  total_tokens                BIGINT,
  cache_read_tokens           BIGINT,
  cache_write_tokens          BIGINT,
  reasoning_tokens            BIGINT,
  cost                        DOUBLE,
  cost_input                  DOUBLE,
  cost_output                 DOUBLE,
  temperature                 DOUBLE,
  top_p                       DOUBLE,
  max_tokens                  BIGINT,
  request_parameters          VARCHAR,
  streaming                   BOOLEAN,
  finish_reasons              VARCHAR[],
  time_to_first_token_seconds DOUBLE,
  input_messages              VARCHAR USING COMPRESSION zstd,
  output_messages             VARCHAR USING COMPRESSION zstd,
  system_instructions         VARCHAR,
  input_text                  VARCHAR USING COMPRESSION zstd,
  output_text                 VARCHAR USING COMPRESSION zstd,
  tool_definitions            VARCHAR,
  called_tools                VARCHAR[],
  tool_name                   VARCHAR,
  tool_call_id                VARCHAR,
  documents                   VARCHAR,
  document_ids                VARCHAR[],
  document_scores             DOUBLE[],
  input_documents             VARCHAR,
  embedding                   FLOAT[],
  embedding_dimensions        BIGINT,
  agent_name                  VARCHAR,
  agent_id                    VARCHAR,
  agent_version               VARCHAR,
  workflow_name               VARCHAR,
  prompt_template_id          VARCHAR,
  prompt_template_version     VARCHAR,
  prompt_template_text        VARCHAR,
  prompt_variables            VARCHAR,
  error_type                  VARCHAR,
  error_message               VARCHAR,
  guardrail_name              VARCHAR,
  guardrail_result            VARCHAR,
  guardrail_score             DOUBLE,
  run_id                      VARCHAR,
  variant                     VARCHAR,
  release                     VARCHAR,
  experiment_id               VARCHAR,
  experiment_name             VARCHAR,
  tags                        VARCHAR[],
  metadata                    VARCHAR,
  convention                  VARCHAR,
  fingerprint                 VARCHAR,
  content_incomplete          BOOLEAN,
  input_token_hashes          UBIGINT[],
  output_token_hashes         UBIGINT[],
  attributes                  VARCHAR USING COMPRESSION zstd,
  resource                    UBIGINT,
  events                      VARCHAR USING COMPRESSION zstd,
  links                       VARCHAR,
  trace_state                 VARCHAR,
  flags                       UINTEGER,
  dropped_attributes_count    UINTEGER,
  norm_source                 UBIGINT
);
COMMENT ON TABLE span_rows IS 'Rows of the view spans, with ids of the texts that many spans share.';
COMMENT ON COLUMN span_rows.resource IS 'texts.id of the resource.';
COMMENT ON COLUMN span_rows.norm_source IS 'texts.id of the norm_source.';

CREATE TABLE texts (
  id   UBIGINT NOT NULL,
  text VARCHAR NOT NULL
);
COMMENT ON TABLE texts IS 'Texts that many spans share, once in each segment: they would be a quarter of every span.';
COMMENT ON COLUMN texts.id IS 'Hash of the text.';
COMMENT ON COLUMN texts.text IS 'Resource attributes, or norm_source.';

CREATE VIEW spans AS
SELECT s.* REPLACE (r.text AS resource, n.text AS norm_source)
FROM span_rows s
LEFT JOIN texts r ON r.id = s.resource
LEFT JOIN texts n ON n.id = s.norm_source;
COMMENT ON VIEW spans IS 'One row per stored span, as received. The spans view of the daemon shows each (trace_id, span_id) once.';
COMMENT ON COLUMN spans.seq IS 'Order of commitment: monotonic over segments and restarts.';
COMMENT ON COLUMN spans.received_at IS 'Wall time (UTC) at which the daemon took the request.';
COMMENT ON COLUMN spans.trace_id IS 'OTLP trace id, 32 lower-case hex digits.';
COMMENT ON COLUMN spans.span_id IS 'OTLP span id, 16 lower-case hex digits; unique only together with trace_id.';
COMMENT ON COLUMN spans.parent_span_id IS 'Span id of the parent, NULL for a root span.';
COMMENT ON COLUMN spans.name IS 'Span name.';
COMMENT ON COLUMN spans.kind IS 'Span kind: unspecified, internal, server, client, producer, consumer, or the number as sent.';
COMMENT ON COLUMN spans.start_time IS 'Start of the span (UTC), NULL when it lies outside 1970 to 2262.';
COMMENT ON COLUMN spans.duration_ns IS 'End minus start in nanoseconds; negative when the clocks disagreed, NULL when unknown.';
COMMENT ON COLUMN spans.status IS 'unset, ok or error.';
COMMENT ON COLUMN spans.status_message IS 'Status message of the span.';
COMMENT ON COLUMN spans.service_name IS 'Resource service.name.';
COMMENT ON COLUMN spans.service_version IS 'Resource service.version; a change marks a deploy.';
COMMENT ON COLUMN spans.environment IS 'Resource deployment.environment.name (or deployment.environment).';
COMMENT ON COLUMN spans.scope_name IS 'Instrumentation scope name.';
COMMENT ON COLUMN spans.scope_version IS 'Instrumentation scope version.';
COMMENT ON COLUMN spans.session_id IS 'Session or conversation id as sent on this span, NULL when absent.';
COMMENT ON COLUMN spans.user_id IS 'User id as sent on this span.';
COMMENT ON COLUMN spans.tenant_id IS 'Tenant, customer or organisation as sent on this span.';
COMMENT ON COLUMN spans.operation IS 'Canonical operation: chat, text_completion, embeddings, retrieval, rerank, tool, agent, workflow, chain, guardrail, evaluator, prompt, memory, audio or other.';
COMMENT ON COLUMN spans.provider IS 'Model provider, canonical name.';
COMMENT ON COLUMN spans.request_model IS 'Model that was asked for.';
COMMENT ON COLUMN spans.response_model IS 'Model that answered.';
COMMENT ON COLUMN spans.model_version IS 'Build of the model, such as the system fingerprint.';
COMMENT ON COLUMN spans.response_id IS 'Id of the completion as the provider gave it.';
COMMENT ON COLUMN spans.input_tokens IS 'Tokens in the prompt, as reported.';
COMMENT ON COLUMN spans.output_tokens IS 'Tokens in the answer, as reported.';
COMMENT ON COLUMN spans.total_tokens IS 'Total tokens, as reported.';
COMMENT ON COLUMN spans.cache_read_tokens IS 'Prompt tokens read from the provider''s cache.';
COMMENT ON COLUMN spans.cache_write_tokens IS 'Prompt tokens written to the provider''s cache.';
COMMENT ON COLUMN spans.reasoning_tokens IS 'Output tokens spent on reasoning.';
COMMENT ON COLUMN spans.cost IS 'Cost in US dollars, as reported.';
COMMENT ON COLUMN spans.cost_input IS 'Part of the cost for the prompt, in US dollars.';
COMMENT ON COLUMN spans.cost_output IS 'Part of the cost for the answer, in US dollars.';
COMMENT ON COLUMN spans.temperature IS 'Sampling temperature of the request.';
COMMENT ON COLUMN spans.top_p IS 'Nucleus sampling parameter of the request.';
COMMENT ON COLUMN spans.max_tokens IS 'Token limit of the request.';
COMMENT ON COLUMN spans.request_parameters IS 'Request parameters as one JSON object, where the convention sends one.';
COMMENT ON COLUMN spans.streaming IS 'Whether the answer was streamed.';
COMMENT ON COLUMN spans.finish_reasons IS 'Why each choice ended: stop, length, content_filter, tool_call, error, or as sent.';
COMMENT ON COLUMN spans.time_to_first_token_seconds IS 'Time to first token in seconds.';
COMMENT ON COLUMN spans.input_messages IS 'Messages sent to the model: JSON list of {role, parts}, whatever the convention.';
COMMENT ON COLUMN spans.output_messages IS 'Messages of the model: JSON list of {role, parts, finish_reason}.';
COMMENT ON COLUMN spans.system_instructions IS 'System instructions as text, from their own attribute or the system messages.';
COMMENT ON COLUMN spans.input_text IS 'Input as text: the last user message of a model call; query, tool arguments, text to embed or input value of other spans.';
COMMENT ON COLUMN spans.output_text IS 'Output as text: the first answer of a model call; tool result or output value of other spans.';
COMMENT ON COLUMN spans.tool_definitions IS 'Tools offered to the model, JSON text as sent.';
COMMENT ON COLUMN spans.called_tools IS 'Names of the tools that the answer calls, in order.';
COMMENT ON COLUMN spans.tool_name IS 'Name of the tool that this span runs.';
COMMENT ON COLUMN spans.tool_call_id IS 'Id of the tool call.';
COMMENT ON COLUMN spans.documents IS 'Documents retrieved or reranked: JSON list of {id, score, content, metadata}.';
COMMENT ON COLUMN spans.document_ids IS 'Ids of the documents, NULL inside where one has none.';
COMMENT ON COLUMN spans.document_scores IS 'Scores of the documents, NULL inside where one has none.';
COMMENT ON COLUMN spans.input_documents IS 'Documents handed to a reranker, in the same form.';
COMMENT ON COLUMN spans.embedding IS 'First embedding vector of the span.';
COMMENT ON COLUMN spans.embedding_dimensions IS 'Dimensions asked for.';
COMMENT ON COLUMN spans.agent_name IS 'Name of the agent.';
COMMENT ON COLUMN spans.agent_id IS 'Id of the agent.';
COMMENT ON COLUMN spans.agent_version IS 'Version of the agent.';
COMMENT ON COLUMN spans.workflow_name IS 'Name of the workflow.';
COMMENT ON COLUMN spans.prompt_template_id IS 'Id or name of the prompt template.';
COMMENT ON COLUMN spans.prompt_template_version IS 'Version of the prompt template.';
COMMENT ON COLUMN spans.prompt_template_text IS 'Text of the prompt template.';
COMMENT ON COLUMN spans.prompt_variables IS 'Variables of the prompt template as a JSON object.';
COMMENT ON COLUMN spans.error_type IS 'error.type of a failed call.';
COMMENT ON COLUMN spans.error_message IS 'What the failed call said.';
COMMENT ON COLUMN spans.guardrail_name IS 'Name of the guardrail.';
COMMENT ON COLUMN spans.guardrail_result IS 'pass, block, warn, modify, error, or as sent.';
COMMENT ON COLUMN spans.guardrail_score IS 'Score of the guardrail.';
COMMENT ON COLUMN spans.run_id IS 'Offline run this span belongs to; such rows never enter production rates.';
COMMENT ON COLUMN spans.variant IS 'production (or NULL), shadow, candidate or another variant name.';
COMMENT ON COLUMN spans.release IS 'Release of the application.';
COMMENT ON COLUMN spans.experiment_id IS 'Id of the experiment.';
COMMENT ON COLUMN spans.experiment_name IS 'Name of the project or experiment.';
COMMENT ON COLUMN spans.tags IS 'Tags.';
COMMENT ON COLUMN spans.metadata IS 'Free metadata as a JSON object.';
COMMENT ON COLUMN spans.convention IS 'Convention the span follows, the most certain one.';
COMMENT ON COLUMN spans.fingerprint IS 'Hash of system instructions, tools and sampling parameters: equal when the model was asked in the same way.';
COMMENT ON COLUMN spans.content_incomplete IS 'True when the sender dropped attributes or events, cut JSON or left holes in a list, of the span or of log records that tell of it.';
COMMENT ON COLUMN spans.input_token_hashes IS 'Keyed hashes of the words of input_text, sorted, where content.fields drops it and content.key_file is set.';
COMMENT ON COLUMN spans.output_token_hashes IS 'The same of output_text.';
COMMENT ON COLUMN spans.attributes IS 'Span attributes that have no column, as a JSON object. Bytes are {"bytesValue": base64}, NaN and infinities are {"doubleValue": text}.';
COMMENT ON COLUMN spans.resource IS 'All resource attributes as a JSON object.';
COMMENT ON COLUMN spans.events IS 'Span events as a JSON array of {time, name, attributes, dropped_attributes_count}.';
COMMENT ON COLUMN spans.links IS 'Span links as a JSON array of {trace_id, span_id, trace_state, attributes}.';
COMMENT ON COLUMN spans.trace_state IS 'W3C tracestate of the span.';
COMMENT ON COLUMN spans.flags IS 'W3C trace flags, all 32 bits as sent.';
COMMENT ON COLUMN spans.dropped_attributes_count IS 'Attributes that the SDK dropped before sending.';
COMMENT ON COLUMN spans.norm_source IS 'JSON object: for each filled canonical column, the attribute key it came from.';

CREATE TABLE evaluations (
  seq               BIGINT NOT NULL,
  received_at       TIMESTAMP_NS NOT NULL,
  time              TIMESTAMP_NS,
  trace_id          VARCHAR,
  span_id           VARCHAR,
  response_id       VARCHAR,
  session_id        VARCHAR,
  name              VARCHAR NOT NULL,
  score             DOUBLE,
  label             VARCHAR,
  passed            BOOLEAN,
  explanation       VARCHAR,
  correction        VARCHAR,
  evaluator         VARCHAR,
  evaluator_version VARCHAR,
  error_type        VARCHAR,
  kind              VARCHAR NOT NULL,
  source            VARCHAR NOT NULL,
  idempotency_key   VARCHAR,
  dataset           VARCHAR,
  item_id           VARCHAR,
  run_id            VARCHAR,
  variant           VARCHAR
);
COMMENT ON TABLE evaluations IS 'One row per evaluation result, as received, joined to the judged span by (trace_id, span_id), else by response_id. The evaluations view of the daemon shows a result that came twice once, and the span of one that names only a response.';
COMMENT ON COLUMN evaluations.seq IS 'Order of commitment, shared with spans.';
COMMENT ON COLUMN evaluations.received_at IS 'Wall time (UTC) at which the daemon took the request.';
COMMENT ON COLUMN evaluations.time IS 'Time of the evaluation (UTC).';
COMMENT ON COLUMN evaluations.trace_id IS 'Trace of the judged span.';
COMMENT ON COLUMN evaluations.span_id IS 'The judged span.';
COMMENT ON COLUMN evaluations.response_id IS 'Id of the judged completion, where the evaluator gives it.';
COMMENT ON COLUMN evaluations.session_id IS 'Judged session, where the evaluator names no call.';
COMMENT ON COLUMN evaluations.name IS 'Name of the evaluation, e.g. groundedness.';
COMMENT ON COLUMN evaluations.score IS 'Score as reported.';
COMMENT ON COLUMN evaluations.label IS 'Label as reported.';
COMMENT ON COLUMN evaluations.passed IS 'True or false from the label or an explicit flag; NULL when neither says, then the configured threshold decides.';
COMMENT ON COLUMN evaluations.explanation IS 'Explanation of the evaluator.';
COMMENT ON COLUMN evaluations.correction IS 'What the answer should have been.';
COMMENT ON COLUMN evaluations.evaluator IS 'Who judged: a judge, or the user who gave feedback.';
COMMENT ON COLUMN evaluations.evaluator_version IS 'Version of the judge; part of the series key.';
COMMENT ON COLUMN evaluations.error_type IS 'Set when the evaluator itself failed; such a row is neither passed nor failed.';
COMMENT ON COLUMN evaluations.kind IS 'automated, human or label.';
COMMENT ON COLUMN evaluations.source IS 'Carrier (log, event, attribute, span) and convention, e.g. log:otel_genai.';
COMMENT ON COLUMN evaluations.idempotency_key IS 'Sent with every copy of one result.';
COMMENT ON COLUMN evaluations.dataset IS 'Golden dataset of an offline run.';
COMMENT ON COLUMN evaluations.item_id IS 'Item of the golden dataset.';
COMMENT ON COLUMN evaluations.run_id IS 'Offline run; such rows never enter production rates.';
COMMENT ON COLUMN evaluations.variant IS 'Variant of the judged span.';

CREATE TABLE logs (
  seq             BIGINT NOT NULL,
  received_at     TIMESTAMP_NS NOT NULL,
  time            TIMESTAMP_NS,
  trace_id        VARCHAR,
  span_id         VARCHAR,
  event_name      VARCHAR NOT NULL,
  severity_number INTEGER,
  body            VARCHAR,
  attributes      VARCHAR,
  service_name    VARCHAR,
  environment     VARCHAR,
  resource        VARCHAR,
  scope_name      VARCHAR,
  scope_version   VARCHAR
);
COMMENT ON TABLE logs IS 'OTLP log records whose event name starts with gen_ai., as sent. Other log records are counted and dropped.';
COMMENT ON COLUMN logs.seq IS 'Order of commitment, shared with spans.';
COMMENT ON COLUMN logs.received_at IS 'Wall time (UTC) at which the daemon took the request.';
COMMENT ON COLUMN logs.time IS 'time_unix_nano, else observed_time_unix_nano.';
COMMENT ON COLUMN logs.trace_id IS 'Trace of the record, NULL when absent or invalid.';
COMMENT ON COLUMN logs.span_id IS 'Span of the record, NULL when absent or invalid.';
COMMENT ON COLUMN logs.event_name IS 'EventName field, else attribute event.name, else attribute event_name, else a body that is nothing but a name.';
COMMENT ON COLUMN logs.severity_number IS 'OTLP severity number.';
COMMENT ON COLUMN logs.body IS 'Body as JSON.';
COMMENT ON COLUMN logs.attributes IS 'All attributes as a JSON object.';
COMMENT ON COLUMN logs.service_name IS 'Resource service.name.';
COMMENT ON COLUMN logs.environment IS 'Resource deployment.environment.name.';
COMMENT ON COLUMN logs.resource IS 'All resource attributes as a JSON object.';
COMMENT ON COLUMN logs.scope_name IS 'Instrumentation scope name.';
COMMENT ON COLUMN logs.scope_version IS 'Instrumentation scope version.';

CREATE TABLE span_details (
  seq                 BIGINT NOT NULL,
  received_at         TIMESTAMP_NS NOT NULL,
  time                TIMESTAMP_NS,
  trace_id            VARCHAR NOT NULL,
  span_id             VARCHAR NOT NULL,
  event_name          VARCHAR NOT NULL,
  session_id          VARCHAR,
  user_id             VARCHAR,
  finish_reasons      VARCHAR[],
  input_messages      VARCHAR,
  output_messages     VARCHAR,
  system_instructions VARCHAR,
  input_text          VARCHAR,
  output_text         VARCHAR,
  tool_definitions    VARCHAR,
  called_tools        VARCHAR[],
  content_incomplete  BOOLEAN,
  norm_source         VARCHAR
);
COMMENT ON TABLE span_details IS 'What log records say of their span: one row per gen_ai.client.inference.operation.details record or message event. The spans view of the daemon shows it where the span itself has nothing.';
COMMENT ON COLUMN span_details.seq IS 'Order of commitment, shared with spans.';
COMMENT ON COLUMN span_details.received_at IS 'Wall time (UTC) at which the daemon took the request.';
COMMENT ON COLUMN span_details.time IS 'Time of the record.';
COMMENT ON COLUMN span_details.trace_id IS 'Trace of the span.';
COMMENT ON COLUMN span_details.span_id IS 'The span.';
COMMENT ON COLUMN span_details.event_name IS 'Name of the log record.';
COMMENT ON COLUMN span_details.session_id IS 'As in spans.';
COMMENT ON COLUMN span_details.user_id IS 'As in spans.';
COMMENT ON COLUMN span_details.finish_reasons IS 'As in spans; of a message event, its own.';
COMMENT ON COLUMN span_details.input_messages IS 'As in spans; of a message event, its own message.';
COMMENT ON COLUMN span_details.output_messages IS 'As in spans; of a message event, its own message.';
COMMENT ON COLUMN span_details.system_instructions IS 'As in spans.';
COMMENT ON COLUMN span_details.input_text IS 'As in spans; of a message event, its text when it is the user''s.';
COMMENT ON COLUMN span_details.output_text IS 'As in spans.';
COMMENT ON COLUMN span_details.tool_definitions IS 'As in spans.';
COMMENT ON COLUMN span_details.called_tools IS 'As in spans.';
COMMENT ON COLUMN span_details.content_incomplete IS 'As in spans, of the record.';
COMMENT ON COLUMN span_details.norm_source IS 'JSON object: for each filled column, the key it came from.';

CREATE TABLE quarantine (
  seq         BIGINT NOT NULL,
  received_at TIMESTAMP_NS NOT NULL,
  signal      VARCHAR NOT NULL,
  reason      VARCHAR NOT NULL,
  detail      VARCHAR,
  item        VARCHAR,
  payload     BLOB
);
COMMENT ON TABLE quarantine IS 'What was rejected, and why: single items as JSON, or the first bytes of a request that could not be decoded. Bounded; see store.quarantine_rows in the configuration.';
COMMENT ON COLUMN quarantine.seq IS 'Order of commitment, shared with spans.';
COMMENT ON COLUMN quarantine.received_at IS 'Wall time (UTC) at which the daemon took the request.';
COMMENT ON COLUMN quarantine.signal IS 'traces or logs.';
COMMENT ON COLUMN quarantine.reason IS 'The reason label of the rejection counters.';
COMMENT ON COLUMN quarantine.detail IS 'One sentence for the operator.';
COMMENT ON COLUMN quarantine.item IS 'The rejected item as JSON, cut at the limit.';
COMMENT ON COLUMN quarantine.payload IS 'First bytes of an undecodable request.';

CREATE TABLE ledger (
  digest       BLOB NOT NULL,
  signal       VARCHAR NOT NULL,
  accepted     BIGINT NOT NULL,
  rejected     BIGINT NOT NULL,
  message      VARCHAR,
  committed_at TIMESTAMP_NS NOT NULL
);
COMMENT ON TABLE ledger IS 'One row per committed request (per item, where items of the API have ids), in the same transaction as its rows. A retry with the same bytes is answered from here and stored once.';
COMMENT ON COLUMN ledger.digest IS 'First 128 bits of SHA-256 of signal, a zero byte and decompressed request body; of feedback and evaluations sent to the API: of their idempotency key or id.';
COMMENT ON COLUMN ledger.signal IS 'traces, logs, feedback or evaluations.';
COMMENT ON COLUMN ledger.accepted IS 'Items stored.';
COMMENT ON COLUMN ledger.rejected IS 'Items rejected, as answered in partial_success.';
COMMENT ON COLUMN ledger.message IS 'error_message of the answer, NULL when it was empty; of feedback and evaluations: a hash of what was sent.';
COMMENT ON COLUMN ledger.committed_at IS 'Wall time (UTC) of the commit.';

CREATE TABLE segment_info (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
COMMENT ON TABLE segment_info IS 'schema_version, engine_version, created_at_ns and merged_from (ids of the segments whose rows it took over) of this file.';
COMMENT ON COLUMN segment_info.key IS 'Name of the fact.';
COMMENT ON COLUMN segment_info.value IS 'Its value as text.';
