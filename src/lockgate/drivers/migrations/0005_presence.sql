-- What hosts without a gateway said last of what runs there. No history: it may be emptied, and then begins anew.
CREATE TABLE presence (
    node text COLLATE "C" NOT NULL,
    speaker text COLLATE "C" NOT NULL,
    endpoints text[] COLLATE "C" NOT NULL,
    heard timestamptz NOT NULL,
    voice bytea NOT NULL,
    PRIMARY KEY (node, speaker)
);
CREATE INDEX presence_endpoints ON presence USING gin (endpoints);

GRANT SELECT, INSERT, UPDATE, DELETE ON presence TO lockgate_app;
