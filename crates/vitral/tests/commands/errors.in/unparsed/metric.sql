CREATE MATERIALIZED VIEW buscas AS
SELEC count(*) FROM eventos_clientes;
