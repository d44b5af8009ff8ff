-- The outbox of triggers and the record of delivery attempts.

-- name: list_outbox
-- The newest events and how far their delivery has come.
select trigger_id, destination, status, attempts, epoch_ns(next_attempt) as next_attempt_ns,
       last_status, last_error
from state.outbox
order by created_at desc, trigger_id, destination
limit $limit

-- name: outbox_heads
-- The oldest pending event of each destination, and how many wait there.
select trigger_id, destination, body, attempts, epoch_ns(created_at) as created_ns,
       epoch_ns(next_attempt) as next_attempt_ns, epoch_ns(expires_at) as expires_ns,
       count(*) over (partition by destination) as waiting
from state.outbox
where status = 'pending'
qualify row_number() over (partition by destination order by created_at, trigger_id) = 1
order by destination

-- name: retry_outbox
-- Make an event due now wherever it is not delivered yet.
update state.outbox
set status = 'pending', next_attempt = make_timestamp_ns($now), finished_at = null,
    expires_at = greatest(expires_at, make_timestamp_ns($expires)::timestamp)
where trigger_id = $trigger_id and destination = coalesce($destination::varchar, destination)
  and status <> 'delivered'
returning trigger_id, destination

-- name: expire_outbox
-- Give up events past their expiry, except where an attempt is under way.
update state.outbox
set status = 'expired', finished_at = make_timestamp_ns($now)
where status = 'pending' and expires_at <= make_timestamp_ns($now)
  and not list_contains($busy::varchar[], destination)
returning trigger_id, destination

-- name: record_attempt
-- What an attempt made of its event.
update state.outbox
set status = $status, attempts = $attempts, last_status = $last_status, last_error = $last_error,
    next_attempt = make_timestamp_ns($next), finished_at = make_timestamp_ns($finished::bigint)
where trigger_id = $trigger_id and destination = $destination
