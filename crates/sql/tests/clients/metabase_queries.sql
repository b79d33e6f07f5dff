-- What Metabase sends to sync tables and for questions; each statement ends with a line of its own.
SET extra_float_digits = 2
;
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
;
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
;
SET SESSION TIMEZONE TO 'America/Sao_Paulo'
;
SET SESSION TIMEZONE TO DEFAULT
;
SHOW TIMEZONE
;
BEGIN
;
SELECT 1
;
ROLLBACK
;
SELECT nspname, typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid IN (SELECT DISTINCT enumtypid FROM pg_enum e)
;
SELECT "c"."column_name" AS "name", CASE WHEN "c"."udt_schema" IN ('public', 'pg_catalog') THEN FORMAT('%s', "c"."udt_name") ELSE FORMAT('"%s"."%s"', "c"."udt_schema", "c"."udt_name") END AS "database-type", "c"."ordinal_position" - 1 AS "database-position", "c"."table_schema" AS "table-schema", "c"."table_name" AS "table-name", "pk"."column_name" IS NOT NULL AS "pk?", COL_DESCRIPTION(CAST(CAST(FORMAT('%I.%I', CAST("c"."table_schema" AS TEXT), CAST("c"."table_name" AS TEXT)) AS REGCLASS) AS OID), "c"."ordinal_position") AS "field-comment", (("column_default" IS NULL) OR (LOWER("column_default") = 'null')) AND ("is_nullable" = 'NO') AND NOT ((("column_default" IS NOT NULL) AND ("column_default" LIKE '%nextval(%')) OR ("is_identity" <> 'NO')) AS "database-required", (("column_default" IS NOT NULL) AND ("column_default" LIKE '%nextval(%')) OR ("is_identity" <> 'NO') AS "database-is-auto-increment" FROM "information_schema"."columns" AS "c" LEFT JOIN (SELECT "tc"."table_schema", "tc"."table_name", "kc"."column_name" FROM "information_schema"."table_constraints" AS "tc" INNER JOIN "information_schema"."key_column_usage" AS "kc" ON ("tc"."constraint_name" = "kc"."constraint_name") AND ("tc"."table_schema" = "kc"."table_schema") AND ("tc"."table_name" = "kc"."table_name") WHERE "tc"."constraint_type" = 'PRIMARY KEY') AS "pk" ON ("c"."table_schema" = "pk"."table_schema") AND ("c"."table_name" = "pk"."table_name") AND ("c"."column_name" = "pk"."column_name") WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND ("c"."table_schema" IN ('public')) UNION ALL SELECT "pa"."attname" AS "name", CASE WHEN "ptn"."nspname" IN ('public', 'pg_catalog') THEN FORMAT('%s', "pt"."typname") ELSE FORMAT('"%s"."%s"', "ptn"."nspname", "pt"."typname") END AS "database-type", "pa"."attnum" - 1 AS "database-position", "pn"."nspname" AS "table-schema", "pc"."relname" AS "table-name", FALSE AS "pk?", NULL AS "field-comment", FALSE AS "database-required", FALSE AS "database-is-auto-increment" FROM "pg_catalog"."pg_class" AS "pc" INNER JOIN "pg_catalog"."pg_namespace" AS "pn" ON "pn"."oid" = "pc"."relnamespace" INNER JOIN "pg_catalog"."pg_attribute" AS "pa" ON "pa"."attrelid" = "pc"."oid" INNER JOIN "pg_catalog"."pg_type" AS "pt" ON "pt"."oid" = "pa"."atttypid" INNER JOIN "pg_catalog"."pg_namespace" AS "ptn" ON "ptn"."oid" = "pt"."typnamespace" WHERE ("pc"."relkind" = 'm') AND ("pa"."attnum" >= 1) AND ("pn"."nspname" IN ('public')) ORDER BY "table-schema" ASC, "table-name" ASC, "database-position" ASC
;
SELECT "fk_ns"."nspname" AS "fk-table-schema", "fk_table"."relname" AS "fk-table-name", "fk_column"."attname" AS "fk-column-name", "pk_ns"."nspname" AS "pk-table-schema", "pk_table"."relname" AS "pk-table-name", "pk_column"."attname" AS "pk-column-name" FROM "pg_constraint" AS "c" INNER JOIN "pg_class" AS "fk_table" ON "c"."conrelid" = "fk_table"."oid" INNER JOIN "pg_namespace" AS "fk_ns" ON "c"."connamespace" = "fk_ns"."oid" INNER JOIN "pg_attribute" AS "fk_column" ON "c"."conrelid" = "fk_column"."attrelid" INNER JOIN "pg_class" AS "pk_table" ON "c"."confrelid" = "pk_table"."oid" INNER JOIN "pg_namespace" AS "pk_ns" ON "pk_table"."relnamespace" = "pk_ns"."oid" INNER JOIN "pg_attribute" AS "pk_column" ON "c"."confrelid" = "pk_column"."attrelid" WHERE fk_ns.nspname !~ '^information_schema|catalog_history|pg_' AND ("c"."contype" = 'f'::char) AND ("fk_column"."attnum" = ANY(c.conkey)) AND ("pk_column"."attnum" = ANY(c.confkey)) AND ("fk_ns"."nspname" IN ('public')) ORDER BY "fk-table-schema" ASC, "fk-table-name" ASC
;
SELECT "tmp"."table-schema", "tmp"."table-name", TRIM(BOTH '"' FROM "pg_catalog".PG_GET_INDEXDEF("tmp"."ci_oid", "tmp"."pos", FALSE)) AS "field-name" FROM (SELECT "n"."nspname" AS "table-schema", "ct"."relname" AS "table-name", "ci"."oid" AS "ci_oid", (information_schema._pg_expandarray("i"."indkey"))."n" AS "pos" FROM "pg_catalog"."pg_class" AS "ct" INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "ct"."relnamespace" = "n"."oid" INNER JOIN "pg_catalog"."pg_index" AS "i" ON "ct"."oid" = "i"."indrelid" INNER JOIN "pg_catalog"."pg_class" AS "ci" ON "ci"."oid" = "i"."indexrelid" WHERE ("pg_catalog".PG_GET_EXPR("i"."indpred", "i"."indrelid") IS NULL) AND n.nspname !~ '^information_schema|catalog_history|pg_') AS "tmp" WHERE "tmp"."pos" = 1
;
SELECT TRUE AS "_" FROM "public"."vendas" WHERE 1 <> 1 LIMIT 0
;
SELECT "public"."vendas"."id" AS "id", SUBSTRING("public"."vendas"."loja" FROM 1 FOR 1234) AS "substring34529" FROM "public"."vendas" LIMIT 10000
;
SELECT "public"."vendas"."loja" AS "loja" FROM "public"."vendas" WHERE "public"."vendas"."loja" IS NOT NULL GROUP BY "public"."vendas"."loja" ORDER BY "public"."vendas"."loja" ASC LIMIT 1001
;
SELECT COUNT(DISTINCT "public"."vendas"."loja") AS "count" FROM "public"."vendas"
;
SELECT CAST("public"."vendas"."ts" AS date) AS "ts", COUNT(*) AS "count" FROM "public"."vendas" GROUP BY CAST("public"."vendas"."ts" AS date) ORDER BY CAST("public"."vendas"."ts" AS date) ASC
;
SELECT (CAST(DATE_TRUNC('week', ("public"."vendas"."ts" + INTERVAL '1 day')) AS timestamp) + INTERVAL '-1 day') AS "ts", COUNT(*) AS "count" FROM "public"."vendas" GROUP BY (CAST(DATE_TRUNC('week', ("public"."vendas"."ts" + INTERVAL '1 day')) AS timestamp) + INTERVAL '-1 day') ORDER BY 1 ASC
;
SELECT CAST(EXTRACT(HOUR FROM "public"."vendas"."ts") AS integer) AS "ts", COUNT(*) AS "count" FROM "public"."vendas" GROUP BY CAST(EXTRACT(HOUR FROM "public"."vendas"."ts") AS integer) ORDER BY 1 ASC
;
SELECT CAST((EXTRACT(DOW FROM "public"."vendas"."ts") + 1) AS integer) AS "d", PERCENTILE_CONT(0.5) within group (order by "public"."vendas"."valor") AS "median", STDDEV_POP("public"."vendas"."valor") AS "stddev", AVG("public"."vendas"."valor") AS "avg" FROM "public"."vendas" GROUP BY 1 ORDER BY 1
;
SELECT TIMEZONE('America/Sao_Paulo', "public"."vendas"."ts") AS "local", SUBSTRING("public"."vendas"."id" FROM '[0-9]+') AS "numero" FROM "public"."vendas" LIMIT 2000
;
SELECT CAST((EXTRACT(YEAR FROM AGE(DATE_TRUNC('day', NOW()), DATE_TRUNC('day', "public"."vendas"."ts")))) AS integer) AS "anos" FROM "public"."vendas" LIMIT 10
;
SELECT FLOOR((("public"."vendas"."valor" - 0.0) / 25.0)) * 25.0 + 0.0 AS "valor", COUNT(*) AS "count" FROM "public"."vendas" GROUP BY FLOOR((("public"."vendas"."valor" - 0.0) / 25.0)) * 25.0 + 0.0 ORDER BY 1 ASC
;
SELECT SUM("source"."sum") OVER (ORDER BY "source"."ts" ASC ROWS UNBOUNDED PRECEDING) AS "sum" FROM (SELECT DATE_TRUNC('hour', "public"."vendas"."ts") AS "ts", SUM("public"."vendas"."valor") AS "sum" FROM "public"."vendas" GROUP BY DATE_TRUNC('hour', "public"."vendas"."ts")) AS "source" LIMIT 100
;
