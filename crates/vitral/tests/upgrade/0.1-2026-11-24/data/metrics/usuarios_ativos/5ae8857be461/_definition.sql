CREATE MATERIALIZED VIEW usuarios_ativos AS SELECT hop(INTERVAL '1 minute', INTERVAL '5 minutes') AS janela, count(DISTINCT id_usuario) AS usuarios FROM eventos_clientes GROUP BY janela;
