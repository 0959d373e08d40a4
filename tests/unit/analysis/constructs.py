"""SQL that facts may be made of, as PostgreSQL says it, over a table t(id, u, v, x, y, d) whose d is JSON."""

CONSTRUCTS = (
    "SELECT id, ROW_NUMBER() OVER (PARTITION BY v ORDER BY id) AS r, COUNT(*) OVER (PARTITION BY v) AS n FROM t ORDER BY id",
    "SELECT id, SUM(x) OVER (PARTITION BY v ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS s FROM t ORDER BY id",
    "SELECT id, RANK() OVER (ORDER BY v) AS r, LAG(x) OVER (ORDER BY id) AS before FROM t ORDER BY id",
    "SELECT v, COUNT(DISTINCT u) AS n, COUNT(x) AS known, MIN(x) AS least, AVG(x) AS mean FROM t GROUP BY v HAVING COUNT(*) > 1 ORDER BY v",
    "SELECT id, CASE WHEN COALESCE(x, 0) > 3 THEN LEAST(x, 5) ELSE GREATEST(x, 1) END AS c FROM t ORDER BY id",
    "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t AS s WHERE s.u = t.u AND s.id <> t.id) AND v IN ('a', 'b') AND NOT v LIKE 'q%' ORDER BY id",
    "SELECT id, x / NULLIF(y, 0) AS ratio, FLOOR(x) AS f, ABS(x) AS a, SQRT(ABS(x)) AS q, MOD(y, 2) AS odd FROM t ORDER BY id",
    "WITH a AS (SELECT 1 AS x UNION ALL SELECT 2 AS x) SELECT a.x, b.x AS y FROM a CROSS JOIN a AS b LEFT JOIN a AS c ON c.x = a.x ORDER BY a.x, b.x",
    "SELECT id, d ->> 'k' AS t, LOWER(d ->> 'k') = 'one' AS b, (d -> 'k') IS NULL AS absent, SUBSTR(CAST(d -> 'k' AS TEXT), 1, 1) AS c FROM t ORDER BY id",
    "SELECT id, CAST(y AS DOUBLE PRECISION) / 4 AS q, x IS DISTINCT FROM 2.5 AS d FROM t ORDER BY id",
)  # fmt: skip
