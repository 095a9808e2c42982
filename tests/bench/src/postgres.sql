-- The same work on PostgreSQL 15, as we would write it if it had to be PostgreSQL.
--
-- Keys are small integers instead of codes, months are numbers, quantities are thousandths as in the product: all in favour of
-- PostgreSQL. `return` and `observation` are the history (what the log is to us), `observation_current` and `roll_up` are derived
-- from it (what the fold is to us). Nothing is overwritten in the history.

CREATE TABLE marker (marker_id smallint PRIMARY KEY, code text UNIQUE NOT NULL);
CREATE TABLE organisation (
    org_id    int PRIMARY KEY,
    icb_id    smallint NOT NULL,
    region_id smallint NOT NULL,
    code      text UNIQUE NOT NULL
);

-- A revision of a return. Dataset 1: savings, 2: quality.
CREATE TABLE return (
    return_id       bigint NOT NULL,
    org_id          int NOT NULL,
    period          smallint NOT NULL,
    dataset         smallint NOT NULL,
    revision        smallint NOT NULL,
    status          smallint NOT NULL,
    idempotency_key text NOT NULL,
    submitted_by    text NOT NULL,
    received_at     timestamptz NOT NULL DEFAULT now()
);
CREATE SEQUENCE return_ids;
CREATE TABLE observation (
    return_id   bigint NOT NULL,
    marker_id   smallint NOT NULL,
    missing     smallint,
    numerator   bigint CHECK (numerator >= 0),
    denominator bigint CHECK (denominator >= 0),
    CHECK ((missing IS NULL) = (numerator IS NOT NULL)),
    CHECK (numerator <= denominator)
);
CREATE TABLE savings_line (
    return_id bigint NOT NULL,
    scheme    smallint NOT NULL,
    plan      bigint,
    actual    bigint,
    forecast  bigint,
    recurrent bigint
);

-- The current revision of each return: what a submission locks, and what leads to the current figures.
CREATE TABLE return_head (
    org_id    int NOT NULL,
    period    smallint NOT NULL,
    dataset   smallint NOT NULL,
    revision  smallint NOT NULL,
    return_id bigint NOT NULL
);
CREATE TABLE observation_current (
    org_id      int NOT NULL,
    marker_id   smallint NOT NULL,
    period      smallint NOT NULL,
    missing     smallint,
    numerator   bigint,
    denominator bigint
);
-- Level 1: region, 2: integrated care board.
CREATE TABLE roll_up (
    level         smallint NOT NULL,
    node          smallint NOT NULL,
    marker_id     smallint NOT NULL,
    period        smallint NOT NULL,
    numerator     bigint,
    denominator   bigint,
    organisations int NOT NULL,
    missing       int NOT NULL,
    PRIMARY KEY (marker_id, level, period, node)
);
CREATE INDEX roll_up_by_month ON roll_up (period, level);
-- What a submission moved and the next refresh has to add up again.
CREATE TABLE roll_up_dirty (icb_id smallint NOT NULL, period smallint NOT NULL);
