-- What rollouts need to go by themselves. None of it is history: all three tables may be emptied, and then begin anew.

-- Who looks after a subject, until when by the clock of this database. `fence` never goes back.
CREATE TABLE controller_lease (
    subject text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    fence bigint NOT NULL CHECK (fence > 0),
    until timestamptz NOT NULL
);

CREATE TABLE controller_state (
    subject text COLLATE "C" PRIMARY KEY,
    fence bigint NOT NULL CHECK (fence > 0),
    document bytea NOT NULL
);

-- The newest report of each node, by incarnation of its counters.
CREATE TABLE traffic_report (
    node text COLLATE "C" NOT NULL,
    incarnation text COLLATE "C" NOT NULL,
    endpoint text COLLATE "C" NOT NULL,
    release text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    received timestamptz NOT NULL,
    first_received timestamptz NOT NULL,
    counts bytea NOT NULL,
    PRIMARY KEY (node, incarnation, endpoint, release)
);
CREATE INDEX traffic_report_endpoint ON traffic_report (endpoint);

GRANT SELECT, INSERT, UPDATE ON controller_lease, controller_state TO lockgate_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON traffic_report TO lockgate_app;

CREATE FUNCTION keep_fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'the fence of % is %, not %', OLD.subject, OLD.fence, NEW.fence USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER only_grows BEFORE UPDATE ON controller_lease FOR EACH ROW
    WHEN (NEW.fence < OLD.fence OR NEW.subject <> OLD.subject) EXECUTE FUNCTION keep_fence();
CREATE TRIGGER only_grows BEFORE UPDATE ON controller_state FOR EACH ROW
    WHEN (NEW.fence < OLD.fence OR NEW.subject <> OLD.subject) EXECUTE FUNCTION keep_fence();
