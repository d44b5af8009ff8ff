-- The store's own bookkeeping in the state file and in segments.

-- name: read_segments
-- Every segment ever created, oldest first; times in nanoseconds.
select id, file, status, schema_version, epoch_ns(created_at) as created_ns,
       epoch_ns(sealed_at) as sealed_ns, span_rows, bytes, first_seq, last_seq,
       epoch_ns(first_time) as first_ns, epoch_ns(last_time) as last_ns
from state.segments
order by id

-- name: delete_segment
-- Before a segment's row is written again.
delete from state.segments where id = $id

-- name: delete_segments
-- The state file is a snapshot or new: segments are listed again from disk.
delete from state.segments

-- name: highest_seq
-- The highest seq that the state file knows of: of segments, deleted ones too, and of panes.
select max(seq) as seq from (
  select through_seq as seq from state.progress union all select last_seq from state.segments)

-- name: insert_spans
-- Rows of spans into a segment, with ids for the texts that many of them share.
insert into {catalog}.main.span_rows by name
select * replace (
  case when resource is not null then hash(resource) end as resource,
  case when norm_source is not null then hash(norm_source) end as norm_source
)
from {rows}

-- name: insert_texts
-- Those of the texts that the segment does not have yet.
insert into {catalog}.main.texts
select id, any_value(text)
from (
  select hash(resource) as id, resource as text from {rows} where resource is not null
  union all
  select hash(norm_source), norm_source from {rows} where norm_source is not null
)
where id not in (select id from {catalog}.main.texts)
group by id
