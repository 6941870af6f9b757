-- A run that somebody asked for is its schedule's as well: it has no slot, and what it did counts.
ALTER TABLE queue.jobs
    DROP CONSTRAINT jobs_check4,
    ADD CONSTRAINT jobs_slot_of_schedule CHECK (slot IS NULL OR schedule IS NOT NULL);
