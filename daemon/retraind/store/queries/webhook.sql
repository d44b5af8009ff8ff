-- The outbox of triggers and the record of delivery attempts. Times are microseconds (`_us`), the
-- precision of the columns, except where people read them.

-- name: outbox_listing
-- The newest events and how far their delivery has come.
select trigger_id, destination, status, attempts, epoch_ns(next_attempt) as next_attempt_ns,
       last_status, last_error
from state.outbox
order by created_at desc, trigger_id, destination
limit $limit

-- name: outbox_head
-- The oldest pending event of a destination: the only one that may be sent there next.
select trigger_id, body, attempts, epoch_us(created_at) as created_us,
       epoch_us(expires_at) as expires_us, epoch_us(next_attempt) as next_us
from state.outbox
where status = 'pending' and destination = $destination
order by created_at, trigger_id
limit 1

-- name: outbox_pending
-- Undelivered events of each destination, and since when the oldest waits.
select destination, count(*) as pending, epoch_us(min(created_at)) as oldest_us
from state.outbox
where status = 'pending'
group by destination

-- name: outbox_expire
-- Give up events of a destination past their expiry.
update state.outbox
set status = 'expired', finished_at = make_timestamp($now_us)
where status = 'pending' and destination = $destination and expires_at <= make_timestamp($now_us)
returning trigger_id

-- name: outbox_retry
-- Make an event due now, with at least a day until it expires; where it is delivered only when asked.
update state.outbox
set status = 'pending', attempts = 0, next_attempt = make_timestamp($now_us), finished_at = null,
    expires_at = greatest(expires_at, make_timestamp($now_us) + interval 1 day)
where trigger_id = $trigger_id and destination = coalesce($destination::varchar, destination)
  and ($delivered or status <> 'delivered')
returning trigger_id, destination

-- name: outbox_settle
-- What an attempt made of its event.
update state.outbox
set status = $status, attempts = $attempts, last_status = $last_status, last_error = $last_error,
    next_attempt = make_timestamp($next_us),
    finished_at = case when $status = 'pending' then null else make_timestamp($now_us) end
where trigger_id = $trigger_id and destination = $destination

-- name: count_deliveries
-- Attempts made so far to deliver an event to a destination.
select count(*) as n
from state.deliveries
where trigger_id = $trigger_id and destination = $destination
