-- Macros of the features that are more than a column; see window/plan.py. Each reads one span.

-- name: feature_macros
-- The tools that an answer calls, as one text; 'none' when tools were offered and none was called.
CREATE OR REPLACE MACRO memory.main.tool_choice(called, definitions) AS CASE
  WHEN len(called) > 0 THEN array_to_string(list_sort(list_distinct(called)), '+')
  WHEN definitions IS NOT NULL THEN 'none'
END;

-- Whether the model declined: it says so by its finish reason, or in the first words of its answer.
CREATE OR REPLACE MACRO memory.main.refusal(operation, finish_reasons, answer) AS CASE
  WHEN operation NOT IN ('chat', 'text_completion') THEN NULL
  WHEN list_contains(finish_reasons, 'content_filter') THEN 'refused'
  WHEN answer IS NULL THEN NULL
  WHEN regexp_matches(left(answer, 200),
    '(?i)^\W*((i[''’]?m|i am|we[''’]?re|we are)( very| really| so)? sorry|sorry|unfortunately|i apologi[sz]e|my apologies)?\W*(but )?(as an ai[^,]*, )?(i|we)([''’]m| am|[''’]re| are)? ?(can[''’]?t|cannot|can not|unable to|not able to|won[''’]?t|will not|must decline|have to decline|decline to)\b')
    THEN 'refused'
  ELSE 'answered'
END;

-- JSON by RFC 8259. json_valid lets a comma before a bracket, NaN and Infinity pass: they are looked for
-- outside of the strings.
CREATE OR REPLACE MACRO memory.main.is_json(text) AS
  json_valid(text) AND NOT regexp_matches(
    regexp_replace(text, '"([^"\\]|\\.)*"', '""', 'g'), '(?i),\s*[}\]]|nan|inf');

-- Whether an answer that should be JSON, or looks like it, is. A fence of Markdown around it is taken off.
CREATE OR REPLACE MACRO memory.main.output_json(operation, answer, attributes) AS CASE
  WHEN operation NOT IN ('chat', 'text_completion') OR answer IS NULL THEN NULL
  WHEN contains(attributes, '"gen_ai.output.type":"json"')
    OR regexp_matches(left(answer, 64), '^\s*(```json|\{|\[\s*[\[{"])')
    THEN CASE WHEN memory.main.is_json(regexp_replace(trim(answer, E' \n\r\t'), '^```(json)?\s*|\s*```$', '', 'g'))
         THEN 'valid' ELSE 'invalid' END
END;

-- How many documents a retrieval brought; 0 when it brought none.
CREATE OR REPLACE MACRO memory.main.retrieved(operation, ids, scores, documents) AS CASE
  WHEN operation = 'retrieval'
    THEN coalesce(len(ids), len(scores), json_array_length(documents)::BIGINT, 0)
END;

CREATE OR REPLACE MACRO memory.main.retrieval(operation, ids, scores, documents) AS CASE
  WHEN memory.main.retrieved(operation, ids, scores, documents) > 0 THEN 'found'
  WHEN operation = 'retrieval' THEN 'empty'
END;
