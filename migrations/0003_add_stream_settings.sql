-- What a stream's owner set; what is not in it is left to the node. One document,
-- because it is only read and written whole and no query chooses by it: a setting
-- more needs no column more. The bounds are the domain's (model::StreamSettings).
ALTER TABLE control.streams ADD COLUMN settings jsonb NOT NULL DEFAULT '{}'
    CHECK (jsonb_typeof(settings) = 'object');
