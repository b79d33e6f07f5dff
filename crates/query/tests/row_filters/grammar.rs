//! Random statements: each gives a text `t` and a number `v`, and tries to reach further than the
//! one who asks may see.

use crate::world::Numbers;

/// A table, its columns of text, and those of numbers.
type Source = (&'static str, &'static [&'static str], &'static [&'static str]);

const SOURCES: [Source; 13] = [
    ("eventos", &["inquilino", "id_usuario", "produto", "texto"], &["valor"]),
    ("public.eventos", &["inquilino", "texto"], &["valor", "CAST(texto AS BIGINT)"]),
    ("vendas", &["inquilino", "produto"], &["valor", "extract(minute FROM quando)"]),
    ("resumo", &["produto"], &["n", "total"]),
    ("posicoes", &["produto"], &["valor", "posicao"]),
    ("maiores", &["produto"], &["valor"]),
    ("comparado", &["produto"], &["n"]),
    ("por_minuto", &["inquilino", "produto"], &["n", "total", "extract(minute FROM janela_inicio)"]),
    ("agora.por_minuto", &["inquilino", "produto"], &["n", "extract(minute FROM janela_inicio)"]),
    ("sessoes", &["inquilino", "id_usuario"], &["n"]),
    ("agora.sessoes", &["inquilino", "id_usuario"], &["n", "extract(second FROM janela_fim)"]),
    ("por_usuario", &["inquilino", "id_usuario"], &["n", "total"]),
    ("lojas", &["inquilino", "cidade"], &["length(cidade)"]),
];

/// A statement as `numbers` have it.
pub fn statement(numbers: &mut Numbers) -> String {
    match numbers.below(8) {
        0 => format!("SELECT count(*) AS n, sum(v) AS s, count(DISTINCT t) AS d FROM ({}) AS q", block(numbers, 3)),
        1 => format!("SELECT t, v FROM ({}) AS q WHERE 1 = 1 OR t = 'B'", block(numbers, 3)),
        2 => recursive(numbers),
        _ => block(numbers, 3),
    }
}

fn recursive(numbers: &mut Numbers) -> String {
    let (start, step) = (block(numbers, 0), block(numbers, 0));
    format!(
        "WITH RECURSIVE r AS (SELECT 0 AS i, max(t) AS t, max(v) AS v FROM ({start}) AS s UNION ALL
            SELECT r.i + 1 AS i, q.t, q.v FROM r CROSS JOIN (SELECT max(t) AS t, min(v) AS v FROM ({step}) AS s) AS q WHERE r.i < 3)
         SELECT t, v FROM r"
    )
}

fn block(numbers: &mut Numbers, depth: usize) -> String {
    let kind = if depth == 0 { numbers.below(3) } else { numbers.below(12) };
    let inner = |numbers: &mut Numbers| block(numbers, depth - 1);
    match kind {
        0 | 1 => plain(numbers),
        2 => grouped(numbers),
        3 => {
            let set = numbers.one_of(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT"]);
            format!("SELECT t, v FROM ({}) AS l {set} SELECT t, v FROM ({}) AS r", inner(numbers), inner(numbers))
        }
        4 => {
            let join = numbers.one_of(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
            let side = |block: String| format!("(SELECT t, max(v) AS v FROM ({block}) AS s GROUP BY t)");
            let (left, right) = (side(inner(numbers)), side(inner(numbers)));
            format!(
                "SELECT coalesce(l.t, r.t) AS t, l.v - r.v AS v FROM {left} AS l {join} {right} AS r ON l.t = r.t OR l.v = r.v"
            )
        }
        5 => format!(
            "SELECT t, v FROM (WITH c AS ({}) SELECT t, v FROM c WHERE v >= (SELECT min(v) FROM c) OR 1 = 1) AS q",
            inner(numbers)
        ),
        6 => {
            let not = numbers.one_of(&["", "NOT "]);
            format!(
                "SELECT t, v FROM ({}) AS q WHERE {not}t IN (SELECT t FROM ({}) AS i WHERE t IS NOT NULL)",
                inner(numbers),
                inner(numbers)
            )
        }
        7 => {
            let not = numbers.one_of(&["", "NOT "]);
            format!(
                "SELECT t, v FROM ({}) AS q WHERE {not}EXISTS (SELECT 1 FROM ({}) AS i WHERE i.v = q.v)",
                inner(numbers),
                inner(numbers)
            )
        }
        8 => {
            let over = numbers.one_of(&[
                "sum(v) OVER (PARTITION BY t)",
                "count(*) OVER ()",
                "rank() OVER (ORDER BY v NULLS LAST, t NULLS LAST)",
                "max(v) OVER (ORDER BY t NULLS LAST)",
            ]);
            format!("SELECT t, CAST({over} AS BIGINT) AS v FROM ({}) AS q", inner(numbers))
        }
        9 => {
            let (rows, skipped) = (numbers.below(20) + 1, numbers.below(4));
            format!(
                "SELECT t, v FROM (SELECT t, v FROM ({}) AS q ORDER BY t NULLS LAST, v NULLS LAST LIMIT {rows} OFFSET {skipped}) AS l",
                inner(numbers)
            )
        }
        10 => {
            let having = numbers.one_of(&["count(*) > 0", "max(v) <> 13", "min(t) <= 'B' OR 1 = 1"]);
            format!("SELECT min(t) AS t, v FROM ({}) AS q GROUP BY v HAVING {having}", inner(numbers))
        }
        _ => format!(
            "SELECT 'tudo' AS t, (SELECT count(*) FROM ({}) AS q) AS v FROM ({}) AS p",
            inner(numbers),
            inner(numbers)
        ),
    }
}

fn plain(numbers: &mut Numbers) -> String {
    let (table, texts, values) = numbers.one_of(&SOURCES);
    let (text, value) = (numbers.one_of(texts), numbers.one_of(values));
    let distinct = numbers.one_of(&["", "", "DISTINCT "]);
    format!(
        "SELECT {distinct}{text} AS t, CAST({value} AS BIGINT) AS v FROM {table} AS x WHERE {}",
        condition(numbers, texts, values)
    )
}

fn grouped(numbers: &mut Numbers) -> String {
    let (table, texts, values) = numbers.one_of(&SOURCES);
    let (text, value) = (numbers.one_of(texts), numbers.one_of(values));
    let call = numbers.one_of(&["count(*)", "sum({})", "max({})", "count(DISTINCT {})"]).replace("{}", value);
    let having = numbers.one_of(&["", "", " HAVING count(*) > 2", " HAVING count(*) > 0 OR 1 = 1"]);
    let condition = condition(numbers, texts, values);
    format!(
        "SELECT {text} AS t, CAST({call} AS BIGINT) AS v FROM {table} AS x WHERE {condition} GROUP BY {text}{having}"
    )
}

fn condition(numbers: &mut Numbers, texts: &[&str], values: &[&str]) -> String {
    let (text, value) = (numbers.one_of(texts), numbers.one_of(values));
    let one = match numbers.below(13) {
        0 => "1 = 1".to_owned(),
        1 => format!("x.{text} = 'B' OR 1 = 1"),
        2 => format!("x.{text} <> 'A'"),
        3 => format!("x.{text} IN ('A', 'B', 'C', 'a', 'p1', 'u2')"),
        4 => format!("x.{text} IS NULL OR TRUE"),
        5 => format!("NOT (x.{text} = 'A') OR {value} >= 0"),
        6 => format!("{value} > {}", numbers.below(60)),
        7 => format!("x.{text} LIKE '%1%' OR {value} IS NULL"),
        8 => format!("upper(x.{text}) = 'A'"),
        9 => format!("x.{text} BETWEEN 'A' AND 'C' OR x.{text} LIKE 'segredo%'"),
        // What only rows of others make fail.
        10 if values.contains(&"valor") => "1000 / (x.valor - 13) < 2000 OR x.valor IS NULL".to_owned(),
        11 if texts.contains(&"inquilino") => "1 / (CASE WHEN x.inquilino = 'A' THEN 1 ELSE 0 END) = 1".to_owned(),
        _ => format!("{value} IN (13, 27, 34, 41, 48)"),
    };
    if numbers.below(4) > 0 { one } else { format!("({one}) AND ({value} IS NULL OR {value} < 90)") }
}
