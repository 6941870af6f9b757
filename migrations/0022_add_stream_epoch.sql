-- Which of a node's streams is the newest, on whichever replica it is: what an older one hears
-- is not written.
ALTER TABLE control.nodes ADD COLUMN stream_epoch bigint NOT NULL DEFAULT 0;
