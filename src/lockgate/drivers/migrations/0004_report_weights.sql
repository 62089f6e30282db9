-- What share of new requests a release gets at a node now: whether a former release is back is seen by that.
ALTER TABLE traffic_report ADD COLUMN weight smallint CHECK (weight BETWEEN 0 AND 100);
