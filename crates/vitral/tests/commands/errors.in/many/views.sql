CREATE VIEW falta WITH (alert = 'id_produto', after = '-1 minutes', severity = 'grave', notify = 'ninguem', cache = '1 minute') AS
SELECT id_produto, current_setting('domain.dias') AS dias FROM vendas;
CREATE VIEW outra AS SELECT presso FROM vendas;
