-- The log, what follows from it, and the role that may only let it grow. Runs as the owner.

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lockgate_app') THEN
        CREATE ROLE lockgate_app LOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another installation in the same cluster was faster
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO lockgate_app;

-- The only row that changes, hence the lock of the log. Small, and alone in its page: HOT updates.
CREATE TABLE head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    size bigint NOT NULL CHECK (size >= 0),
    peaks bytea NOT NULL,
    last_time timestamptz
) WITH (fillfactor = 10);
INSERT INTO head (size, peaks) VALUES (0, '');

-- Leaves are these exact bytes.
CREATE TABLE entry (
    idx bigint PRIMARY KEY CHECK (idx >= 0),
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    body bytea NOT NULL
);

-- Full tiles only; `root` is the hash in the level above.
CREATE TABLE tile (
    level integer NOT NULL,
    n bigint NOT NULL,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    hashes bytea NOT NULL CHECK (octet_length(hashes) = 8192),
    PRIMARY KEY (level, n)
);
ALTER TABLE tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Which entries an append wrote, by the digest of the order that asked for it.
CREATE TABLE append_key (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    first bigint NOT NULL,
    stop bigint NOT NULL
);

CREATE TABLE checkpoint (
    size bigint PRIMARY KEY CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note text NOT NULL
);

CREATE TABLE document (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    body bytea NOT NULL
);

-- What follows from the log: may be emptied and rebuilt. `version` is the leaf index of the object's last event.
CREATE TABLE object (
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    first bigint NOT NULL,
    version bigint NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE UNIQUE INDEX object_first ON object (kind, first);

GRANT SELECT, INSERT ON entry, tile, append_key, checkpoint, document TO lockgate_app;
GRANT SELECT, INSERT, UPDATE ON object TO lockgate_app;
GRANT SELECT, UPDATE ON head TO lockgate_app;
GRANT SELECT ON migration TO lockgate_app;

-- The second belt: what the role may not do, nobody does by accident.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION '% on % is refused: the log only grows', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

DO $$ DECLARE kept text; BEGIN
    FOREACH kept IN ARRAY ARRAY['entry', 'tile', 'append_key', 'checkpoint', 'document'] LOOP
        EXECUTE format('CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        EXECUTE FUNCTION refuse_change()', kept);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER only_grows', kept);
    END LOOP;
END $$;

CREATE TRIGGER stays BEFORE INSERT OR DELETE OR TRUNCATE ON head EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_grows BEFORE UPDATE ON head FOR EACH ROW
    WHEN (NEW.size <= OLD.size OR NEW.last_time IS NULL OR NEW.last_time < OLD.last_time)
    EXECUTE FUNCTION refuse_change();
ALTER TABLE head ENABLE ALWAYS TRIGGER stays;
ALTER TABLE head ENABLE ALWAYS TRIGGER only_grows;
