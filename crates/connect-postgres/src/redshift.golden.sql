CREATE TABLE vitral.tabelas (tabela varchar(127) NOT NULL, id varchar(36) NOT NULL, data varchar(127) NOT NULL, chave varchar(65535) NOT NULL) DISTSTYLE ALL;
CREATE TABLE "vendas_por_regiao" ("data" date, "regiao" character varying(65535), "pedidos" bigint, "receita" numeric(38,2), "quando" timestamp with time zone, "taxa" double precision, "aberta" boolean) DISTKEY ("regiao") COMPOUND SORTKEY ("data", "regiao");
CREATE TABLE "vendas_por_regiao" ("data" date, "regiao" character varying(65535), "pedidos" bigint, "receita" numeric(38,2), "quando" timestamp with time zone, "taxa" double precision, "aberta" boolean) DISTSTYLE EVEN COMPOUND SORTKEY ("data");
DROP TABLE IF EXISTS vitral_novas;
CREATE TEMPORARY TABLE vitral_novas (LIKE "vendas_por_regiao");
COPY vitral_novas FROM 's3://bucket/stage/vendas_por_regiao/0a1b/' IAM_ROLE 'arn:aws:iam::123456789012:role/warehouse' FORMAT AS PARQUET;
LOCK vitral.versao;
DELETE FROM "vendas_por_regiao" WHERE "data" >= '2025-05-01' AND "data" < '2025-06-01';
INSERT INTO "vendas_por_regiao" ("data", "regiao", "pedidos", "receita", "quando", "taxa", "aberta") SELECT "data", "regiao", "pedidos", "receita", "quando", "taxa", "aberta" FROM vitral_novas;
