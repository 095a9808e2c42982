-- One call, one transaction, one round trip: the checks and the rows of one return.
CREATE OR REPLACE FUNCTION submit_return(
    p_org int, p_period smallint, p_status smallint, p_key text, p_expected int, p_by text,
    p_markers smallint[], p_missing smallint[], p_numerators bigint[], p_denominators bigint[],
    OUT decision text, OUT number int
) LANGUAGE plpgsql AS $$
DECLARE
    held  return_head;
    keyed record;
    v_id  bigint;
    v_icb smallint;
BEGIN
    SELECT icb_id INTO v_icb FROM organisation WHERE org_id = p_org;
    IF NOT FOUND THEN RAISE 'unknown organisation %', p_org; END IF;
    IF EXISTS (SELECT FROM unnest(p_markers) AS sent (id) WHERE NOT EXISTS (SELECT FROM marker WHERE marker_id = sent.id)) THEN
        RAISE 'unknown marker';
    END IF;
    LOOP
        SELECT * INTO held FROM return_head WHERE org_id = p_org AND dataset = 2 AND period = p_period FOR UPDATE;
        IF FOUND THEN
            IF p_key <> '' THEN
                SELECT r.revision, r.return_id INTO keyed FROM return r
                    WHERE r.org_id = p_org AND r.dataset = 2 AND r.period = p_period AND r.idempotency_key = p_key;
                IF FOUND THEN
                    decision := CASE WHEN same_content(keyed.return_id, p_markers, p_missing, p_numerators, p_denominators)
                                THEN 'repeat' ELSE 'key reused' END;
                    number := keyed.revision;
                    RETURN;
                END IF;
            END IF;
            IF same_content(held.return_id, p_markers, p_missing, p_numerators, p_denominators) THEN
                decision := 'repeat'; number := held.revision; RETURN;
            END IF;
            IF p_expected <> held.revision THEN
                decision := 'conflict'; number := held.revision; RETURN;
            END IF;
            v_id := nextval('return_ids');
            number := held.revision + 1;
            UPDATE return_head SET revision = number, return_id = v_id
                WHERE org_id = p_org AND dataset = 2 AND period = p_period;
            EXIT;
        END IF;
        IF p_expected <> 0 THEN
            decision := 'conflict'; number := 0; RETURN;
        END IF;
        v_id := nextval('return_ids');
        number := 1;
        INSERT INTO return_head VALUES (p_org, p_period, 2, number, v_id) ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    INSERT INTO return VALUES (v_id, p_org, p_period, 2, number, p_status, p_key, p_by);
    INSERT INTO observation
        SELECT v_id, m, x, n, d FROM unnest(p_markers, p_missing, p_numerators, p_denominators) AS sent (m, x, n, d);
    IF number = 1 THEN
        INSERT INTO observation_current
            SELECT p_org, m, p_period, x, n, d FROM unnest(p_markers, p_missing, p_numerators, p_denominators) AS sent (m, x, n, d);
    ELSE
        DELETE FROM observation_current
            WHERE org_id = p_org AND period = p_period AND marker_id <> ALL (p_markers);
        INSERT INTO observation_current
            SELECT p_org, m, p_period, x, n, d FROM unnest(p_markers, p_missing, p_numerators, p_denominators) AS sent (m, x, n, d)
            ON CONFLICT (org_id, marker_id, period) DO UPDATE
            SET missing = excluded.missing, numerator = excluded.numerator, denominator = excluded.denominator;
    END IF;
    INSERT INTO roll_up_dirty VALUES (v_icb, p_period);
    decision := 'accepted';
END $$;

CREATE OR REPLACE FUNCTION same_content(
    p_return bigint, p_markers smallint[], p_missing smallint[], p_numerators bigint[], p_denominators bigint[]
) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (
        (SELECT marker_id, missing, numerator, denominator FROM observation WHERE return_id = p_return
         EXCEPT SELECT * FROM unnest(p_markers, p_missing, p_numerators, p_denominators))
        UNION ALL
        (SELECT * FROM unnest(p_markers, p_missing, p_numerators, p_denominators)
         EXCEPT SELECT marker_id, missing, numerator, denominator FROM observation WHERE return_id = p_return))
$$;

-- The incremental refresh of the roll-ups, once a second: adds up again what was moved since the last time.
CREATE OR REPLACE FUNCTION refresh_roll_ups() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    moved bigint;
BEGIN
    CREATE TEMP TABLE IF NOT EXISTS moved_groups (icb_id smallint, period smallint) ON COMMIT DELETE ROWS;
    WITH taken AS (DELETE FROM roll_up_dirty RETURNING icb_id, period)
        INSERT INTO moved_groups SELECT DISTINCT icb_id, period FROM taken;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved = 0 THEN RETURN 0; END IF;
    INSERT INTO roll_up
        SELECT 2, g.icb_id, o.marker_id, g.period, sum(o.numerator), sum(o.denominator), count(o.numerator), count(o.missing)
        FROM moved_groups g
        JOIN organisation org ON org.icb_id = g.icb_id
        JOIN return_head h ON h.org_id = org.org_id AND h.dataset = 2 AND h.period = g.period
        JOIN observation o ON o.return_id = h.return_id
        GROUP BY g.icb_id, o.marker_id, g.period
        ON CONFLICT (marker_id, level, period, node) DO UPDATE
        SET numerator = excluded.numerator, denominator = excluded.denominator,
            organisations = excluded.organisations, missing = excluded.missing;
    INSERT INTO roll_up
        SELECT 1, icb.region_id, r.marker_id, r.period, sum(r.numerator), sum(r.denominator), sum(r.organisations), sum(r.missing)
        FROM roll_up r
        JOIN (SELECT DISTINCT icb_id, region_id FROM organisation) icb ON icb.icb_id = r.node
        WHERE r.level = 2 AND (icb.region_id, r.period) IN (
            SELECT i.region_id, g.period FROM moved_groups g JOIN organisation i USING (icb_id))
        GROUP BY icb.region_id, r.marker_id, r.period
        ON CONFLICT (marker_id, level, period, node) DO UPDATE
        SET numerator = excluded.numerator, denominator = excluded.denominator,
            organisations = excluded.organisations, missing = excluded.missing;
    RETURN moved;
END $$;
