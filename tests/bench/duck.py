"""DuckDB's side: reads the nation's rows, derives the current figures and the roll-ups from them, and scans. Prints lines of JSON.

    python duck.py ROWS.csv DATABASE NAME

Needs the package duckdb. `qipp-bench` runs it; what it prints has the form of the other sides' figures.
"""

import json
import os
import sys
import time

import duckdb

rows, database, name = sys.argv[1:4]


def tell(part, case, metric, unit, value, less=False, told=False):
    print(
        json.dumps(
            {
                "part": part, "case": case, "side": "duckdb", "metric": metric, "unit": unit, "value": value,
                "less_is_better": less, "background": told,
            }
        ),
        flush=True,
    )


def timed(connection, sql):
    begun = time.perf_counter()
    answer = connection.execute(sql).fetchall()
    return time.perf_counter() - begun, answer


def clear():
    for path in (database, database + ".wal"):
        if os.path.exists(path):
            os.remove(path)


def percentiles(case, took):
    took.sort()
    for metric, quantile in (("p50", 0.5), ("p99", 0.99)):
        tell("query", case, metric, "ms", 1000 * took[min(len(took) - 1, int(len(took) * quantile))], less=True)
    tell("query", case, "measured", "", len(took), told=True)


CURRENT = """
CREATE OR REPLACE TABLE latest AS
    SELECT h.* FROM history h
    WHERE NOT EXISTS (
        SELECT 1 FROM (SELECT DISTINCT org, period FROM history WHERE revision = 2) n
        WHERE h.revision = 1 AND n.org = h.org AND n.period = h.period)
"""
ROLL_UP = """
CREATE OR REPLACE TABLE roll_up AS
    SELECT icb, region, period, marker, sum(numerator) AS numerator, sum(denominator) AS denominator,
           count(numerator) AS organisations, count(missing) AS missing
    FROM latest GROUP BY ALL
"""

clear()
con = duckdb.connect(database)
con.execute(
    """CREATE TABLE history (org INTEGER, icb SMALLINT, region SMALLINT, period SMALLINT, revision SMALLINT, marker SMALLINT,
       missing SMALLINT, numerator BIGINT, denominator BIGINT)"""
)
copied, _ = timed(con, f"COPY history FROM '{rows}' (FORMAT csv, HEADER false)")
values = con.execute("SELECT count(*) FROM history").fetchone()[0]
last = con.execute("SELECT max(period) FROM history").fetchone()[0]
con.execute("CHECKPOINT")
size = os.path.getsize(database)

# The fold, on all cores and on one.
current, _ = timed(con, CURRENT)
roll_up, _ = timed(con, ROLL_UP)
case = f"{name}, all cores"
tell("fold", case, "folded", "values/s", values / (current + roll_up))
tell("fold", case, "history to answers", "s", current + roll_up, less=True)
tell("fold", case, "of that, roll-ups", "s", roll_up, told=True)
tell("fold", case, "COPY of the history", "s", copied, told=True)
tell("fold", case, "everything with COPY", "values/s", values / (copied + current + roll_up), told=True)
con.execute("SET threads = 1")
one = sum(timed(con, sql)[0] for sql in (CURRENT, ROLL_UP))
tell("fold", f"{name}, one core", "folded", "values/s", values / one)
con.execute("RESET threads")
con.execute("CHECKPOINT")
tell("disk", name, "history with keys", "bytes/value", size / values, told=True)
tell("disk", name, "all", "bytes/value", os.path.getsize(database) / values, less=True)

# Scans of the figures themselves; nothing is written beside them.
questions = {
    "roll-up: a marker by region, all months, without roll-up table":
        "SELECT period, region, sum(numerator), sum(denominator) FROM latest WHERE marker = {marker} GROUP BY 1, 2 ORDER BY 1, 2",
    "roll-up: a month, all markers by ICB, without roll-up table":
        f"SELECT icb, marker, sum(numerator), sum(denominator) FROM latest WHERE period = {last} GROUP BY 1, 2 ORDER BY 1, 2",
}
markers = con.execute("SELECT max(marker) + 1 FROM history").fetchone()[0]
for question, sql in questions.items():
    took = []
    until = time.perf_counter() + 3
    while time.perf_counter() < until or not took:
        took.append(timed(con, sql.format(marker=len(took) % markers))[0])
    percentiles(f"{name}: {question}", took)
print(
    json.dumps(
        {
            "part": "machine", "case": "this machine", "side": "qipp", "metric": "DuckDB", "value": 0.0, "background": True,
            "words": duckdb.__version__ + ", as it comes, no load beside its queries",
        }
    )
)
con.close()
clear()
