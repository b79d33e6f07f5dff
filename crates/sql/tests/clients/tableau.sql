-- What Tableau's driver (psqlODBC) sends: settings, savepoints, cursors that outlive their transaction.
SET DateStyle = 'ISO'
;
SET extra_float_digits = 2
;
show transaction_isolation
;
SET statement_timeout = 20000
;
select oid, typbasetype from pg_type where typname = 'lo'
;
select n.nspname, c.relname, c.relkind from pg_catalog.pg_class c, pg_catalog.pg_namespace n where c.relkind in ('r', 'v') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'pg_temp_1') and n.oid = c.relnamespace order by nspname, relname
;
select n.nspname, c.relname, a.attname, a.atttypid, t.typname, a.attnum, a.attlen, a.atttypmod, a.attnotnull, c.relhasrules, c.relkind, c.oid, pg_get_expr(d.adbin, d.adrelid), case t.typtype when 'd' then t.typbasetype else 0 end, t.typtypmod, 0, attidentity from (((pg_catalog.pg_class c inner join pg_catalog.pg_namespace n on n.oid = c.relnamespace and c.relname = 'vendas' and n.nspname = 'public') inner join pg_catalog.pg_attribute a on (not a.attisdropped) and a.attnum > 0 and a.attrelid = c.oid) inner join pg_catalog.pg_type t on t.oid = a.atttypid) left outer join pg_attrdef d on a.atthasdef and d.adrelid = a.attrelid and d.adnum = a.attnum order by n.nspname, c.relname, attnum
;
BEGIN
;
SAVEPOINT _EXEC_SVP_0x1
;
declare "SQL_CUR0x1" cursor with hold for SELECT "vendas"."loja" AS "loja", SUM("vendas"."valor") AS "sum:valor:ok" FROM "public"."vendas" "vendas" GROUP BY 1
;
fetch 2048 in "SQL_CUR0x1"
;
RELEASE _EXEC_SVP_0x1
;
COMMIT
;
fetch 2048 in "SQL_CUR0x1"
;
close "SQL_CUR0x1"
;
SELECT "vendas"."loja" AS "loja" FROM "public"."vendas" "vendas" GROUP BY 1 LIMIT 1
;
