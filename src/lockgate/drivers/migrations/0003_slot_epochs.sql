-- Slots of endpoints say by which entry they serve. It follows from the log, so every object is derived from it anew:
-- `schema.migrate` does that after any migration of a database that holds something.
SELECT 1;
